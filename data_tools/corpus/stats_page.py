"""The figures of a corpus as one self-contained page: how long documents are, and where they come from."""

from html import escape
from typing import Any

BLUE, ORANGE = "#3a7fc4", "#d2521c"
LENGTHS_PIXELS, BAR_PIXELS, GAP_PIXELS = 320, 28, 120
SHORTENED = 40
"""Characters of a source's name."""


def page(title: str, figures: dict[str, Any]) -> str:
    """The HTML; no network is needed to read it.

    Args:
        title: name of the corpus.
        figures: as `stats` gives them.
    """
    from plotly.graph_objects import Bar
    from plotly.subplots import make_subplots

    parts = [name for name in ("sources", "kinds") if name in figures]
    heights = [LENGTHS_PIXELS, *(BAR_PIXELS * (1 + len(figures[name])) for name in parts)]
    inner = sum(heights) + GAP_PIXELS * len(parts)
    figure = make_subplots(
        rows=len(heights), cols=2, row_heights=[height / sum(heights) for height in heights],
        vertical_spacing=GAP_PIXELS / inner, horizontal_spacing=0.08,
        subplot_titles=["Documents, by their length in tokens", "Tokens, by the length of their document",
                        *(f"{name.capitalize()}, by tokens" for name in parts)],
        specs=[[{}, {}], *([{"colspan": 2}, None] for _ in parts)],
    )  # fmt: skip
    lengths = figures["lengths"]
    labels = [f"{row['from']:,}–{row['to']:,}" if row["to"] > row["from"] else f"{row['from']}" for row in lengths]
    for column, (name, colour) in enumerate((("documents", BLUE), ("tokens", ORANGE)), start=1):
        figure.add_trace(Bar(x=labels, y=[row[name] for row in lengths], marker_color=colour), row=1, col=column)
        figure.update_xaxes(tickangle=-45, row=1, col=column)
    for row, name in enumerate(parts, start=2):
        sizes = figures[name]
        bar = Bar(
            y=[_label(entry) for entry in sizes], x=[size["tokens"] for size in sizes.values()], orientation="h",
            text=[f"{size['documents']:,} documents" for size in sizes.values()], marker_color=ORANGE,
        )  # fmt: skip
        figure.add_trace(bar, row=row, col=1)
        figure.update_yaxes(autorange="reversed", row=row, col=1)
    figure.update_layout(
        title={"text": f"{escape(title)}<br><sup>{_summary(figures)}</sup>"}, template="plotly_white", showlegend=False,
        height=inner + 180, margin={"t": 120, "b": 60},
    )  # fmt: skip
    return figure.to_html(include_plotlyjs=True, full_html=True, div_id="corpus")


def _label(name: str) -> str:
    return escape(name if len(name) <= SHORTENED else name[: SHORTENED - 1] + "…")


def _summary(figures: dict[str, Any]) -> str:
    lengths = figures["tokens_per_document"]
    return (
        f"{figures['documents']:,} documents, {figures['tokens']:,} tokens; of a document {lengths['least']:,} to"
        f" {lengths['most']:,}, median {lengths['median']:,}, mean {lengths['mean']:,.0f}"
    )
