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
COLOURS = {"baseline": "#8c6d31", "sbp": "#c2410c", "oracle": "#2563a8"}
SMOOTHING = 3
"""Steps before and after that go into the running mean of a loss curve."""


def page(report: dict[str, Any]) -> str:
    """The HTML."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    environment.filters |= {"number": _number, "loss": _loss, "power": _power}
    return environment.get_template("page.html.j2").render(
        report=report,
        names=NAMES,
        answer=answer(report),
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
    difference = losses["sbp"] - losses["baseline"]
    word = "better" if difference < 0 else "worse"
    share = report["gap_closed"]
    if share is None:
        sentences.append(report["gap_closed_why"])
    elif share > 0:
        sentences.append(f"SBP closes {share:.0%} of the oracle's gain in held-out loss.")
    else:
        sentences.append(f"SBP closes none of the oracle's gain in held-out loss (computed share {share:.0%}).")
    sentences.append(
        f"On the held-out documents SBP is {word} than the baseline by {abs(difference):.4f} nats per token, and the "
        f"oracle's loss is lower than the baseline's by {losses['baseline'] - losses['oracle']:.4f}."
    )
    size = report["arms"]["sbp"]["parameters"]
    sentences.append(
        f"One seed was run, so the uncertainty is not known. At {size / 1e6:.1f} million parameters the synthesizer "
        "writes poor text, as the samples below show: this run shows that the pipeline works, not what synthesis is "
        "worth."
    )
    return sentences


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    curves = []
    for name, arm in report["arms"].items():
        tokens, losses = [point[0] for point in arm["curve"]], [point[1] for point in arm["curve"]]
        line = {"color": COLOURS[name]}
        raw = {"x": tokens, "y": losses, "mode": "lines", "opacity": 0.25, "line": line | {"width": 1}}
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
    return {"curves": curves, "heldout": dots}


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
