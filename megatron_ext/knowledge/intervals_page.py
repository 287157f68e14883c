"""The dictionary of `intervals` to one self-contained page: sentences, tables and a histogram, no network needed."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_tools.files import write_whole
from megatron_ext.knowledge.intervals import LISTED, SYNTHETIC, TOGETHER
from megatron_ext.knowledge.spacing import BINS
from megatron_ext.report.rendering import Figure, figure, rendered

TEMPLATE = Path(__file__).with_name("intervals_page.html.j2")
JSON, PAGE = "intervals.json", "intervals.html"
COLOURS = {TOGETHER: "#d2521c", "real": "#3a7fc4", SYNTHETIC: "#a3803a"}
LETTERS = {10**3: "K", 10**6: "M", 10**9: "B", 10**12: "T"}
OTHER_COLOURS = ("#5b9a4c", "#8d6bb0", "#c05a8a", "#3f9c9c", "#b08d3c", "#7a7367")
BEYOND = 3
"""Doublings that a threshold may be away from all intervals and still be drawn."""


def write_intervals(folder: Path, name: str, found: dict[str, Any]) -> Path:
    """Write `intervals.json` and `intervals.html`; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / JSON, json.dumps(found, indent=1) + "\n")
    write_whole(folder / PAGE, page(name, found))
    return folder / PAGE


def page(name: str, found: dict[str, Any]) -> str:
    """The HTML, under the run's name."""
    return rendered(
        TEMPLATE, figures={"histogram": histogram(found)}, name=name, found=found, answer=answer(found),
        notes=notes(found), listed=LISTED,
        filters={"count": lambda value: f"{value:,}", "short": short, "share": share, "tokens": tokens},
    )  # fmt: skip


def answer(found: dict[str, Any]) -> list[str]:
    """What was found, in sentences: the verdict first, where there is one."""
    together = found["kinds"][TOGETHER]
    apart = together["interval"]
    seen = f"A source document is shown {short(together['showings']['mean'])} times on average"
    spaced = f"{seen}, {short(apart['median'])} steps apart (median)." if apart else f"{seen}; none is shown twice."
    judged = together["verdict"]
    if judged is None:
        return [spaced, "No threshold was given, so what is shown too rarely is not known."]
    within = "" if found["documents"]["exact"] else f" (95%: {share(judged['low'])} to {share(judged['high'])})"
    sentences = [
        f"This run will not learn {share(judged['not_learnt'])}{within} of its source documents: "
        f"{together['never']:,} are never shown, {together['once']:,} once, and {judged['beyond']:,} further apart "
        f"than the threshold of {short(found['threshold']['steps'])} steps.",
        spaced,
    ]
    if judged["faded"]:
        sentences.append(
            f"Of the others, {judged['faded']:,} are shown for the last time so long before the end that the run has "
            "forgotten them by then."
        )
    return sentences


def notes(found: dict[str, Any]) -> list[str]:
    """What a reader has to know beside the figures."""
    documents, threshold, said = found["documents"], found["threshold"], []
    if not documents["exact"]:
        said.append(
            f"{documents['looked_at']:,} of {documents['in_all']:,} source documents, drawn uniformly: counts are of "
            "these. What is said of each is exact."
        )
    if threshold:
        said.append(f"Threshold: {short(threshold['steps'])} steps, {threshold['origin']}.")
        measured, here = threshold["tokens_per_step"], found["tokens_per_step"]
        if measured not in (None, here):
            said.append(
                f"It was measured with {measured:,} tokens a step, this run has {here:,}: thresholds depend on the "
                "size of the batch."
            )
    return said


def histogram(found: dict[str, Any]) -> Figure:
    """Bars of each kind over the logarithm of the interval, then those shown once and never."""
    kinds = found["kinds"] if len(found["kinds"]) > 2 else {TOGETHER: found["kinds"][TOGETHER]}
    edges = [math.log2(row[edge]) for kind in kinds.values() for row in kind["histogram"] for edge in ("from", "to")]
    line = math.log2(max(found["threshold"]["steps"], 1)) if found["threshold"] else None
    low, high = (min(edges), max(edges)) if edges else (0.0, 0.0)
    if line is not None and edges:
        low, high = min(low, max(line, low - BEYOND)), max(high, min(line, high + BEYOND))
    unit = max(1.0, (high - low) / 8)
    once, never = high + unit, high + 2 * unit
    at_first = (TOGETHER, "real", SYNTHETIC) if SYNTHETIC in kinds else tuple(kinds)
    width, middle = 0.7 * unit / len(kinds), (len(kinds) - 1) / 2
    traces = []
    for place, (kind, counted) in enumerate(kinds.items()):
        aside = (place - middle) * width
        colour = COLOURS.get(kind) or OTHER_COLOURS[place % len(OTHER_COLOURS)]
        visible = True if kind in at_first else "legendonly"
        traces.append(_bars(kind, counted, (once + aside, never + aside), width, colour) | {"visible": visible})
    ticks = {at: label for at, label in _ticks(high) if low - unit / 2 <= at}
    ticks |= {once: "once", never: "never"}
    threshold = {"type": "line", "x0": line, "x1": line, "yref": "paper", "y0": 0, "y1": 1}
    dashed = threshold | {"line": {"width": 2, "dash": "dash"}}
    return figure(
        traces, barmode="overlay", showlegend=len(traces) > 1,
        shapes=[dashed] if line is not None and low <= line <= high else [],
        xaxis={"title": {"text": "steps between showings"}, "tickvals": list(ticks), "ticktext": list(ticks.values()),
               "range": [low - unit / 4, never + unit / 2]},
        yaxis={"tickformat": ".0%", "rangemode": "tozero"},
    )  # fmt: skip


def _bars(kind: str, counted: dict[str, Any], apart: tuple[float, float], width: float, colour: str) -> dict[str, Any]:
    """Bars that lie over one another; where documents have no interval, they stand beside one another."""
    rows = [
        ((math.log2(row["from"]) + math.log2(row["to"])) / 2, 1 / BINS, row["documents"],
         f"{short(row['from'])} to {short(row['to'])} steps")
        for row in counted["histogram"]
    ]  # fmt: skip
    for at, documents, label in zip(apart, (counted["once"], counted["never"]), ("once", "never"), strict=True):
        rows.append((at, width, documents, f"shown {label}"))
    x, widths, documents, labels = map(list, zip(*rows, strict=True))
    return {
        "type": "bar", "name": kind.replace("_", " "), "x": x, "width": widths,
        "y": [count / max(counted["documents"], 1) for count in documents],
        "text": labels, "textposition": "none", "hovertemplate": "%{text}: %{y:.1%}",
        "marker": {"color": colour, "opacity": 0.7},
    }  # fmt: skip


def _ticks(high: float) -> Iterator[tuple[float, str]]:
    """(logarithm, label) of 1, 3, 10, 30 and so on."""
    for power in range(int(high * math.log10(2)) + 1):
        for first in (1, 3):
            if math.log2(first * 10**power) <= high:
                yield math.log2(first * 10**power), tokens(first * 10**power)


def short(value: float | None) -> str:
    """Three digits of a small number, whole ones of a large; a dash for nothing."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def tokens(value: float | None) -> str:
    """A large number with a letter for its size."""
    if value is None:
        return "–"
    size = max((size for size in LETTERS if value >= size), default=1)
    return f"{value / size:.3g}{LETTERS.get(size, '')}"


def share(value: float) -> str:
    """In percent; what is not quite none or all is not rounded to it."""
    shown = f"{value:.1%}"
    return {"0.0%": "< 0.1%", "100.0%": "> 99.9%"}.get(shown, shown) if 0 < value < 1 else f"{value:.0%}"
