"""The grid of a sweep as a picture: two settings a panel, one panel for each combination of the others."""

from itertools import product
from typing import Any

from megatron_ext.sweep.grid import Grid, Point, State

PANEL_PIXELS = 300


def page(state: State) -> str:
    """Self-contained HTML: losses by colour, the accepted points framed, the next ones marked."""
    from plotly.graph_objects import Heatmap, Scatter
    from plotly.subplots import make_subplots

    grid = state.grid
    names = grid.names + [""] * (2 - len(grid.names))
    across, down = names[0], names[1]
    panels = _panels(grid)
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = make_subplots(rows=rows, cols=columns, subplot_titles=[title for title, _ in panels] or None,
                           horizontal_spacing=0.4 / columns / 2, vertical_spacing=0.35 / rows)  # fmt: skip
    finite = [loss for loss in state.losses.values() if loss < float("inf")]
    for number, (_, points) in enumerate(panels):
        place: dict[str, Any] = {"row": number // columns + 1, "col": number % columns + 1}
        values = [[_shown(state.losses.get(point)) for point in line] for line in points]
        figure.add_trace(
            Heatmap(
                z=values, x=_labels(grid, 0), y=_labels(grid, 1), coloraxis="coloraxis", xgap=2, ygap=2,
                text=[[_text(state.losses.get(point)) for point in line] for line in points], texttemplate="%{text}",
                hovertemplate=f"{across} %{{x}}, {down} %{{y}}: %{{text}}<extra></extra>",
            ), **place,
        )  # fmt: skip
        for points_of, symbol, colour in ((state.accepted, "square-open", "#111"), (state.next, "x-thin", "#d2521c")):
            marked = [point for line in points for point in line if point in points_of]
            figure.add_trace(
                Scatter(
                    x=[_label(grid, 0, point) for point in marked], y=[_label(grid, 1, point) for point in marked],
                    mode="markers", showlegend=False, hoverinfo="skip",
                    marker={"symbol": symbol, "size": 34, "color": colour, "line": {"width": 3, "color": colour}},
                ), **place,
            )  # fmt: skip
        figure.update_xaxes(type="category", title=_last(across), **place)
        figure.update_yaxes(type="category", title=_last(down), **place)
    bounds = {"cmin": min(finite), "cmax": max(finite)} if finite else {}
    figure.update_layout(
        title=f"Held-out loss of {len(state.losses)} of {len(list(grid))} points (framed: accepted; x: next)",
        template="plotly_white", height=140 + PANEL_PIXELS * rows,
        coloraxis={"colorscale": "Viridis_r", "colorbar": {"title": "nats"}, **bounds},
    )  # fmt: skip
    return figure.to_html(include_plotlyjs=True, full_html=True, div_id="sweep")


def _panels(grid: Grid) -> list[tuple[str, list[list[Point]]]]:
    """(title, points by the second setting, then by the first) for each combination of the other settings."""
    sizes = [len(values) for values in grid.config.grid.values()]
    first, second, others = sizes[0], sizes[1] if len(sizes) > 1 else None, sizes[2:]
    panels = []
    for rest in product(*(range(size) for size in others)):
        title = ", ".join(
            f"{_last(name)} {grid.config.grid[name][at]}" for name, at in zip(grid.names[2:], rest, strict=True)
        )
        lines = [(at,) for at in range(second)] if second else [()]
        panels.append((title, [[(x, *line, *rest) for x in range(first)] for line in lines]))
    return panels


def _labels(grid: Grid, place: int) -> list[str]:
    return [str(value) for value in grid.config.grid[grid.names[place]]] if place < len(grid.names) else [""]


def _label(grid: Grid, place: int, point: Point) -> str:
    return _labels(grid, place)[point[place]] if place < len(grid.names) else ""


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _shown(loss: float | None) -> float | None:
    return loss if loss is not None and loss < float("inf") else None


def _text(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.4f}" if loss < float("inf") else "diverged"
