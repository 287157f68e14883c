"""How similar neighbours are, and how many pairs each threshold would keep: numbers as JSON, and a picture of them.

Whoever searches counts similarities in bins of 0.01; the counts of all are added up, so the picture of 60M documents
needs no second pass over their neighbours. Pairs are counted before near-duplicates are dropped.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.files import write_whole

EDGES = np.arange(-100, 101) / 100
PAGE, NUMBERS = "similarities.html", "similarities.json"
LOWEST_SHOWN = 1e-4
"""Share of the documents; what is rarer at the ends of the histogram is left out of the picture."""
NEAREST_COLOR, ALL_COLOR = "#b4532a", "#2f6f8f"

Seen = dict[str, list[int]]
"""Neighbours in each bin: `nearest_found` only the nearest of each document, `all_found` all of them."""


def nothing() -> Seen:
    """Counts to begin with."""
    return {"nearest_found": [0] * (len(EDGES) - 1), "all_found": [0] * (len(EDGES) - 1)}


def add(seen: Seen, similarities: np.ndarray) -> None:
    """Count similarities of shape (documents, k), nearest first; -inf stands for none."""
    for name, part in (("nearest_found", similarities[:, :1]), ("all_found", similarities)):
        found = np.clip(part[np.isfinite(part)], -1, 1)  # rounding makes more than 1 of equal vectors
        seen[name] = (np.array(seen[name]) + np.histogram(found, bins=EDGES)[0]).tolist()


def summed(counts: Sequence[Seen]) -> Seen:
    """The counts of all shards."""
    return {name: np.sum([count[name] for count in counts], axis=0).tolist() for name in nothing()}


def write(folder: Path, *, nearest_found: list[int], all_found: list[int]) -> None:
    """Write `similarities.json` and `similarities.html` into a folder."""
    numbers = {
        "bins": EDGES.tolist(),
        "nearest": nearest_found,
        "all": all_found,
        "thresholds": EDGES[:-1].tolist(),
        "documents_with_a_pair": _at_least(nearest_found),
        "pairs_kept": _at_least(all_found),
    }
    write_whole(folder / NUMBERS, json.dumps(numbers) + "\n")
    write_whole(folder / PAGE, _page(numbers))


def _at_least(counts: list[int]) -> list[int]:
    """How many are in each bin or above."""
    return np.cumsum(counts[::-1])[::-1].tolist()


def _page(numbers: dict[str, Any]) -> str:
    from plotly.graph_objects import Bar, Scatter
    from plotly.subplots import make_subplots

    documents = max(1, sum(numbers["nearest"]))
    figure = make_subplots(
        rows=2, cols=1, vertical_spacing=0.16,
        subplot_titles=("Similarities of neighbours", "What a threshold keeps, before near-duplicates are dropped"),
    )  # fmt: skip
    middles = EDGES[:-1] + 0.005
    for name, key, color in (("all neighbours", "all", ALL_COLOR), ("nearest only", "nearest", NEAREST_COLOR)):
        shares = np.array(numbers[key]) / max(1, sum(numbers[key]))
        figure.add_trace(
            Bar(x=middles, y=shares, width=0.01, name=name, marker_color=color, opacity=0.65), row=1, col=1
        )
    for name, key, color in (("pairs", "pairs_kept", ALL_COLOR), ("documents with a pair", "documents_with_a_pair",
                             NEAREST_COLOR)):  # fmt: skip
        kept = [count or None for count in numbers[key]]  # a logarithm has no 0
        figure.add_trace(Scatter(x=numbers["thresholds"], y=kept, name=name, line_color=color), row=2, col=1)
    shown = np.flatnonzero(np.array(numbers["all"]) >= LOWEST_SHOWN * documents)
    span = [EDGES[shown[0]] - 0.02, EDGES[shown[-1] + 1] + 0.02] if len(shown) else [-1, 1]
    figure.update_xaxes(range=span, title_text="similarity (inner product)", row=1, col=1)
    figure.update_xaxes(range=span, title_text="threshold: similarity of at least", row=2, col=1)
    figure.update_yaxes(title_text="share", tickformat=".1%", row=1, col=1)
    figure.update_yaxes(title_text="kept", type="log", row=2, col=1)
    figure.update_layout(
        title=f"Neighbours of {documents:,} documents", template="plotly_white", barmode="overlay", height=850,
        hovermode="x unified", legend={"orientation": "h", "y": -0.1}, margin={"t": 90, "b": 60},
    )  # fmt: skip
    return figure.to_html(include_plotlyjs=True, full_html=True, div_id="similarities")
