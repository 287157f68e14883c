"""The plots of a report: losses against tokens with restarts marked, held-out losses, benchmarks, the live model."""

from collections.abc import Mapping, Sequence
from typing import Any

from megatron_ext.report.rendering import Figure, figure
from megatron_ext.report.seeds import ARMS
from megatron_ext.report.tables import NAMES

COLOURS = {"baseline": "#a3803a", "sbp": "#d2521c", "oracle": "#3a7fc4", "baseline_flops": "#7a7367"}
BARS = "#8a8580"
ASIDE = 0.14
"""Of a row that SBP and the oracle stand from its middle."""
SMOOTHING = 3
"""Steps before and after that go into the running mean of a loss curve."""
MAIN = ("acc", "loss")
"""Of a task with choices, and of one without."""
MOST_LIVE = 6
"""Plots of the live model; the others are in report.json."""

Trace = dict[str, Any]


def figures(report: Mapping[str, Any]) -> dict[str, Figure]:
    """Name -> plot."""
    tokens, loss = _axis("tokens trained"), _axis("loss, nats per token")
    restarts = [_restart(name, at) for name, arm in report["arms"].items() for at in arm["restarted_at"]]
    drawn = {
        "curves": figure(_curves(report), xaxis=tokens, yaxis=loss, shapes=restarts),
        "heldout": figure(
            _heldout(report), xaxis=_axis("held-out loss, nats per token"), showlegend=False,
            yaxis={"autorange": "reversed"},
        ),
        "benchmarks": _benchmarks(report),
    }  # fmt: skip
    for place, metric in enumerate(live_metrics(report)):
        margin = {"l": 45, "r": 10, "t": 10, "b": 42}
        drawn[f"live-{place}"] = figure(
            _live(report, metric), xaxis=tokens, showlegend=False, margin=margin, font={"size": 12}
        )
    return drawn


def live_metrics(report: Mapping[str, Any]) -> list[str]:
    """What the live models were measured by, as far as it is drawn: of each task its main figure."""
    names = dict.fromkeys(metric for arm in report["arms"].values() for metric in arm["evaluations"])
    return [name for name in names if name.rpartition("/")[2] in MAIN][:MOST_LIVE]


def _curves(report: Mapping[str, Any]) -> list[Trace]:
    traces = []
    for name, arm in report["arms"].items():
        tokens, losses = [point[0] for point in arm["curve"]], [point[1] for point in arm["curve"]]
        raw = _line(name, tokens, losses, width=1) | {"opacity": 0.45, "showlegend": False, "hoverinfo": "skip"}
        traces += [raw, _line(name, tokens, _smoothed(losses), width=2.5)]
    return [trace for trace in traces if trace["x"]]


def _live(report: Mapping[str, Any], metric: str) -> list[Trace]:
    arms = {name: arm["evaluations"][metric] for name, arm in report["arms"].items() if metric in arm["evaluations"]}
    return [
        _line(name, [point[0] for point in points], [point[1] for point in points], width=2) | {"mode": "lines+markers"}
        for name, points in arms.items()
    ]


def _heldout(report: Mapping[str, Any]) -> list[Trace]:
    """The arms' losses; of SBP and the oracle with the interval of their difference to the baseline."""
    measured = {name: arm["heldout_loss"] for name, arm in report["arms"].items() if arm["heldout_loss"] is not None}
    differences = [report["gains"]["loss"].get(name) for name in measured]
    return [
        {
            "x": list(measured.values()), "y": [NAMES[name] for name in measured], "mode": "markers+text",
            "type": "scatter", "text": [f"{loss:.3f}" for loss in measured.values()], "textposition": "top center",
            "marker": {"size": 13, "color": [COLOURS[name] for name in measured]}, "cliponaxis": False,
            "error_x": _bars(differences),
        }
    ] if measured else []  # fmt: skip


def _benchmarks(report: Mapping[str, Any]) -> Figure:
    """What SBP and the oracle gain in accuracy, in points."""
    rows = [row for row in report["benchmarks"] if row["kind"] == "accuracy" and "baseline" in row]
    traces = [
        {
            "x": [100 * row[name]["value"] for row in rows], "y": [place + aside for place in range(len(rows))],
            "mode": "markers", "type": "scatter", "name": NAMES[name], "cliponaxis": False,
            "marker": {"size": 10, "color": COLOURS[name]}, "text": [row["title"] for row in rows],
            "hovertemplate": "%{text}: %{x:+.2f}",
            "error_x": _bars([row[name] for row in rows], scale=100) | {"color": COLOURS[name]},
        }
        for name, aside in zip(ARMS[1:], (-ASIDE, ASIDE), strict=True)
    ]  # fmt: skip
    titles = {"tickvals": list(range(len(rows))), "ticktext": [row["title"] for row in rows]}
    return figure(
        traces if rows else [], xaxis=_axis("points above the baseline"),
        yaxis=titles | {"range": [len(rows) - 0.5, -0.5], "zeroline": False},
    )  # fmt: skip


def _bars(estimates: Sequence[Mapping[str, Any] | None], *, scale: float = 1) -> dict[str, Any]:
    ends = [
        (0.0, 0.0) if not each or each["low"] is None else (each["high"] - each["value"], each["value"] - each["low"])
        for each in estimates
    ]
    return {
        "type": "data", "symmetric": False, "array": [scale * up for up, _ in ends],
        "arrayminus": [scale * down for _, down in ends], "thickness": 1.2, "width": 5, "color": BARS,
    }  # fmt: skip


def _line(name: str, x: Sequence[float], y: Sequence[float], *, width: float) -> Trace:
    return {
        "type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "name": NAMES[name], "legendgroup": name,
        "line": {"color": COLOURS[name], "width": width},
    }  # fmt: skip


def _restart(name: str, tokens: float) -> dict[str, Any]:
    dotted = {"color": COLOURS[name], "width": 1, "dash": "dot"}
    return {"type": "line", "x0": tokens, "x1": tokens, "yref": "paper", "y0": 0, "y1": 1, "line": dotted}


def _smoothed(values: Sequence[float]) -> list[float]:
    windows = (values[max(0, i - SMOOTHING) : i + SMOOTHING + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _axis(title: str) -> dict[str, Any]:
    return {"title": {"text": title}}
