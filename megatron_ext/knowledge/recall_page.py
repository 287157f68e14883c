"""The dictionary of `recall_curve.collect` to one self-contained page: a table and a plot, no network needed."""

import math
from pathlib import Path
from typing import Any

from data_tools.files import write_whole
from megatron_ext.report.rendering import figure, rendered

TEMPLATE = Path(__file__).with_name("recall.html.j2")
PAGE = "recall.html"
NAMES = {"closed_book": "Closed-book", "rag": "With documents (RAG)"}
MEASURES = {"exact_match": "exact match", "judged": "accuracy by the judge"}
SHORT = {"closed_book": "closed-book", "rag": "RAG"}
FEW_POWERS = 100
"""Largest over smallest number of tokens, up to which an axis has room for finer marks."""
COLOURS = {"closed_book": "#d2521c", "rag": "#3a7fc4"}


def write_page(folder: Path, found: dict[str, Any]) -> Path:
    """Write `recall.html`; returns its path."""
    write_whole(folder / PAGE, page(found))
    return folder / PAGE


def page(found: dict[str, Any]) -> str:
    """The HTML."""
    tokens = {"title": {"text": "synthetic tokens"}, "type": "log", "dtick": _ticks(found), "tickformat": "~s"}
    share = {"title": {"text": "share of answers that are right"}, "tickformat": ".0%", "rangemode": "tozero"}
    by_name = {"type": "category"}
    curve = figure(traces(found), showlegend=True, xaxis=tokens if _on_a_curve(found) else by_name, yaxis=share)
    return rendered(
        TEMPLATE, figures={"curve": curve}, found=found, answer=answer(found), names=NAMES,
        measure=MEASURES[found["measure"]],
        filters={
            "percent": percent, "interval": interval, "number": lambda value: "–" if value is None else f"{value:,}",
        },
    )  # fmt: skip


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def interval(mean: dict[str, float]) -> str:
    """A mean with its interval, in percent."""
    return f"{percent(mean['value'])} ({percent(mean['low'])} to {percent(mean['high'])})"


def answer(found: dict[str, Any]) -> list[str]:
    """What was measured, in sentences."""
    measure, models = found["measure"], found["models"]
    best = max(models, key=lambda model: model["closed_book"][measure]["value"])
    sentences = [
        f"{best['name']} knows {percent(best['closed_book'][measure]['value'])}% of the answers without any document."
    ]
    reference = next((model for model in models if "rag" in model), None)  # it saw the fewest synthetic tokens
    if reference:
        sentences.append(
            f"{reference['name']}, with documents at hand, answers {percent(reference['rag'][measure]['value'])}%: what"
            f" {best['name']} learnt is worth {_compared(best['closed_book'][measure], reference['rag'][measure])}."
        )
    line = found["lines"].get("closed_book")
    if line:
        sentences.append(f"Each tenfold of synthetic tokens brings {100 * line['slope']:+.1f} points.")
    widest = max(model["closed_book"][measure]["high"] - model["closed_book"][measure]["low"] for model in models)
    sentences.append(f"The 95% intervals are up to {100 * widest:.0f} points wide.")
    return sentences


def _compared(learnt: dict[str, float], looked_up: dict[str, float]) -> str:
    if learnt["low"] > looked_up["high"]:
        return "more than looking it up"
    if learnt["high"] < looked_up["low"]:
        return "less than looking it up"
    return "about as much as looking it up: the intervals overlap"


def traces(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the plot: dots with intervals over tokens, the line through them, and what saw none as dashed levels."""
    models, measure = found["models"], found["measure"]
    on_curve = [model for model in models if model["synthetic_tokens"]] if _on_a_curve(found) else models
    drawn = []
    for way, colour in COLOURS.items():
        if dots := [model for model in on_curve if way in model]:
            drawn.append(_dots(dots, way, measure, colour, by_tokens=_on_a_curve(found)))
        line = found["lines"].get(way)
        if line:
            ends = [min(model["synthetic_tokens"] for model in dots), max(model["synthetic_tokens"] for model in dots)]
            through = _level(ends, [_at(line, end) for end in ends], colour, f"{NAMES[way]}: line", "solid")
            drawn.append(through | {"showlegend": False})
        if _on_a_curve(found):
            ends = [on_curve[0]["synthetic_tokens"] / 1.5, on_curve[-1]["synthetic_tokens"] * 1.5]
            for model in models:
                if not model["synthetic_tokens"] and way in model:
                    name = f"{model['name']}: {SHORT[way]}"
                    drawn.append(_level(ends, [model[way][measure]["value"]] * 2, colour, name, "dash"))
    return drawn


def _on_a_curve(found: dict[str, Any]) -> bool:
    """Whether any model has synthetic tokens; else they stand side by side, by name."""
    return any(model["synthetic_tokens"] for model in found["models"])


def _ticks(found: dict[str, Any]) -> int | str:
    """Between the marks of the axis: a power of ten, or also its double and its five times where there are few."""
    tokens = [model["synthetic_tokens"] for model in found["models"] if model["synthetic_tokens"]]
    return 1 if tokens and max(tokens) >= FEW_POWERS * min(tokens) else "D2"


def _at(line: dict[str, float], tokens: int) -> float:
    return line["intercept"] + line["slope"] * math.log10(tokens)


def _dots(models: list[dict[str, Any]], way: str, measure: str, colour: str, *, by_tokens: bool) -> dict[str, Any]:
    means = [model[way][measure] for model in models]
    bars = {
        "type": "data", "symmetric": False, "thickness": 1.2, "width": 5, "color": "#8a8580",
        "array": [mean["high"] - mean["value"] for mean in means],
        "arrayminus": [mean["value"] - mean["low"] for mean in means],
    }  # fmt: skip
    return {
        "type": "scatter", "mode": "markers", "name": NAMES[way], "marker": {"size": 10, "color": colour},
        "x": [model["synthetic_tokens"] if by_tokens else model["name"] for model in models],
        "y": [mean["value"] for mean in means], "error_y": bars, "text": [model["name"] for model in models],
        "cliponaxis": False,
    }  # fmt: skip


def _level(x: list[float], y: list[float], colour: str, name: str, dash: str) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name,
            "line": {"color": colour, "width": 2, "dash": dash}}  # fmt: skip
