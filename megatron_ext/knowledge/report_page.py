"""The dictionary of `described` to one self-contained page: findings, tables and plots, no network needed."""

from pathlib import Path
from typing import Any

from megatron_ext.knowledge.report_figures import DASHES, colours, figures
from megatron_ext.knowledge.report_table import interval, number, power, powers
from megatron_ext.report.rendering import Figure, figure, rendered

TEMPLATE = Path(__file__).with_name("report_page.html.j2")
X_AXES: dict[str, dict[str, Any]] = {
    "course": {"title": {"text": "step"}},
    "around": {"title": {"text": "steps since the showing"}},
    "kept": {
        "title": {"text": "steps since the maximum"}, "type": "log", "dtick": 1, "exponentformat": "power",
        "tickfont": {"size": 11},
    },
    "showings": {"title": {"text": "showing"}, "dtick": 1},
}  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """The HTML."""
    drawn = figures(found)
    return rendered(
        TEMPLATE, figures=_plots(drawn), found=found, answer=answer(found), panels_of=drawn, colours=colours(found),
        dashes=list(zip(found["runs"], DASHES, strict=False)) if len(found["runs"]) > 1 else [],
        filters={
            "number": number, "interval": interval, "power": power, "powers": powers,
            "count": lambda value: f"{value:,}",
        },
    )  # fmt: skip


def _plots(drawn: dict[str, dict[str, Any]]) -> dict[str, Figure]:
    """Each panel under the id that the template gives it; panels of one kind share their range of y."""
    return {
        f"{name}-{place}": figure(
            panel["traces"], showlegend=False, margin={"l": 45, "r": 10, "t": 10, "b": 42}, xaxis=X_AXES[name],
            yaxis={"range": of_kind["range"]}, font={"size": 12},
        )
        for name, of_kind in drawn.items() for place, panel in enumerate(of_kind["panels"].values())
    }  # fmt: skip


def answer(found: dict[str, Any]) -> list[str]:
    """What was measured, in sentences."""
    verdicts = [finding["verdict"] for finding in found["findings"]]
    if not any(run["groups"] for run in found["runs"].values()):
        return ["No passage was shown, so there is nothing to learn."]
    counts = {verdict: verdicts.count(verdict) for verdict in ("agrees", "disagrees", "not shown")}
    sentences = [
        f"The paper's findings, held against {'this run' if len(found['runs']) == 1 else 'each of these runs'}: "
        f"{counts['agrees']} agree, {counts['disagrees']} disagree, {counts['not shown']} are not shown."
    ]
    thresholds = [each for each in found["learnability_thresholds"] if each["steps"] is not None]
    if thresholds:
        least = min(thresholds, key=lambda each: each["tokens"])
        of_run = f" of {least['run']}" if len(found["runs"]) > 1 else ""
        sentences.append(
            f"Facts are lost soonest by {least['kind']} probes of passages shown as “{least['group']}”{of_run}: after "
            f"{least['steps']:,.0f} steps ({least['tokens']:.2g} tokens) without another showing the line "
            "through what is kept meets zero."
        )
    sentences.append("Each run is one seed: intervals tell how much the choice of passages matters, not the seed.")
    return sentences
