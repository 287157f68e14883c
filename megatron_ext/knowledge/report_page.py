"""The dictionary of `described` to one self-contained page: findings, tables and plots, no network needed."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from megatron_ext.knowledge.report_figures import DASHES, colours, figures
from megatron_ext.knowledge.report_table import interval, number, power, powers
from megatron_ext.report.page import HERE as REPORT

HERE = Path(__file__).parent


def page(found: dict[str, Any]) -> str:
    """The HTML."""
    from plotly.offline import get_plotlyjs

    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "interval": interval, "power": power, "powers": powers,
                            "count": lambda value: f"{value:,}"}  # fmt: skip
    drawn = figures(found)
    return environment.get_template("report_page.html.j2").render(
        found=found, answer=answer(found), figures=drawn, colours=colours(found),
        dashes=list(zip(found["runs"], DASHES, strict=False)) if len(found["runs"]) > 1 else [],
        style=Markup((REPORT / "style.css").read_text()), script=Markup(get_plotlyjs()),
        data=Markup(json.dumps(drawn).replace("</", "<\\/")),
    )  # fmt: skip


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
