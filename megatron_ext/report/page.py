"""The dictionary of `collect` to one self-contained page: text, tables and plots, no network needed.

Every text from outside (synthetic documents, names) goes through jinja2's escaping.
"""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

HERE = Path(__file__).parent
NAMES = {"baseline": "Baseline", "sbp": "SBP", "oracle": "Oracle"}
COLOURS = {"baseline": "#a3803a", "sbp": "#d2521c", "oracle": "#3a7fc4"}
NOT_DOCUMENTS = ("pages", "tokens", "requests", "prompt_tokens", "generated_tokens")
"""Counts of stages that have no place among what was kept and dropped."""
SMOOTHING = 3
"""Steps before and after that go into the running mean of a loss curve."""
SMALL = 100_000_000
"""Parameters below which a synthesizer is not expected to write useful text; a judgement: SBP reports 3B and 6B."""


def page(report: dict[str, Any]) -> str:
    """The HTML."""
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "loss": _loss, "power": _power, "pretty": _pretty}
    return environment.get_template("page.html.j2").render(
        report=report,
        names=NAMES,
        answer=answer(report),
        filters={stage: filter_rows(counts) for stage, counts in report["filters"].items()},
        sbp_flops=sbp_flops(report),
        style=Markup((HERE / "style.css").read_text()),
        script=Markup(_plotly()),
        figures=Markup(json.dumps(_figures(report)).replace("</", "<\\/")),
    )


def answer(report: dict[str, Any]) -> list[str]:
    """What was measured, in sentences, whatever it is."""
    losses = {name: report["arms"][name]["heldout_loss"] for name in NAMES if name in report["arms"]}
    if len(losses) < len(NAMES) or None in losses.values():
        return ["Not all arms have been trained and evaluated yet: there is no answer."]
    sentences = []
    share = report["gap_closed"]
    if share is None:
        sentences.append(report["gap_closed_why"])
    elif share > 0:
        sentences.append(f"SBP closes {share:.0%} of the oracle's gain in held-out loss.")
    else:
        sentences.append(f"SBP closes none of the oracle's gain in held-out loss (computed share {share:.0%}).")
    sentences.append(
        f"On the held-out documents SBP is {_compared(losses['sbp'] - losses['baseline'])}, and the oracle is "
        f"{_compared(losses['oracle'] - losses['baseline'])}."
    )
    size = report["arms"]["sbp"]["parameters"]
    sentences.append("One seed was run, so the uncertainty is not known.")
    if size < SMALL:
        sentences[-1] += (
            f" At {size / 1e6:.1f} million parameters the synthesizer writes poor text: this run shows that the "
            "pipeline works, not what synthesis is worth."
        )
    return sentences


def filter_rows(counted: dict[str, Any]) -> list[tuple[str, int, str]]:
    """(what, count, share of what came in) of a stage: what came in, what was dropped and why, then the rest."""
    counts = {name: value for name, value in counted.items() if isinstance(value, int)}  # not which libraries, say
    came_in = next((name for name in ("read", "candidates", "drafts") if name in counts), None)
    dropped = [name for name in counts if name.startswith("dropped_")]
    rest = [name for name in counts if name not in (came_in, *dropped, *NOT_DOCUMENTS) and counts[name]]
    total = counts[came_in] if came_in else counts.get("documents", 0) + sum(counts[name] for name in dropped)
    return [
        (name.replace("_", " "), counts[name], f"{counts[name] / total:.1%}" if name in dropped and total else "")
        for name in ([came_in] if came_in else []) + dropped + rest
    ]


def sbp_flops(report: dict[str, Any]) -> list[tuple[str, float]] | None:
    """What SBP takes in all, part by part: its synthesizer starts from the trained baseline. None until known."""
    arms, cost = report["arms"], report["cost"]
    if not {"baseline", "sbp"} <= arms.keys() or None in cost.values():
        return None
    return [
        ("the baseline, from which the synthesizer starts", arms["baseline"]["flops"]),
        ("synthesizer-tuning", cost["tuning_flops"]),
        ("synthesis", cost["synthesis_flops"]),
        ("training the SBP arm", arms["sbp"]["flops"]),
    ]


def _compared(difference: float) -> str:
    if abs(difference) < 5e-5:
        return "level with the baseline"
    return f"{'better' if difference < 0 else 'worse'} than the baseline by {abs(difference):.4f} nats per token"


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    curves = []
    for name, arm in report["arms"].items():
        tokens, losses = [point[0] for point in arm["curve"]], [point[1] for point in arm["curve"]]
        line = {"color": COLOURS[name]}
        raw = {"x": tokens, "y": losses, "mode": "lines", "opacity": 0.45, "line": line | {"width": 1}}
        curves.append(raw | {"showlegend": False, "hoverinfo": "skip", "type": "scatter"})
        smooth = {"x": tokens, "y": _smoothed(losses), "mode": "lines", "line": line | {"width": 2.5}}
        curves.append(smooth | {"name": NAMES[name], "type": "scatter"})
    measured = {name: arm["heldout_loss"] for name, arm in report["arms"].items() if arm["heldout_loss"] is not None}
    dots = [
        {
            "x": list(measured.values()), "y": [NAMES[name] for name in measured], "mode": "markers+text",
            "type": "scatter", "text": [f"{loss:.3f}" for loss in measured.values()], "textposition": "top center",
            "marker": {"size": 13, "color": [COLOURS[name] for name in measured]}, "cliponaxis": False,
        }
    ]  # fmt: skip
    restarts = [
        {"type": "line", "x0": tokens, "x1": tokens, "yref": "paper", "y0": 0, "y1": 1, "line": dotted}
        for name, arm in report["arms"].items()
        for dotted in ({"color": COLOURS[name], "width": 1, "dash": "dot"},)
        for tokens in arm["restarted_at"]
    ]
    return {"curves": curves, "heldout": dots, "restarts": restarts}


def _smoothed(values: list[float]) -> list[float]:
    windows = (values[max(0, i - SMOOTHING) : i + SMOOTHING + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _power(value: float | None) -> str:
    return "–" if value is None else f"{value:.2e}"


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1)
