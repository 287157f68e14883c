"""The dictionary of `collect` to one self-contained page: tables and plots, no network needed."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.files import write_whole
from megatron_ext.config.comparison import BASELINE
from megatron_ext.report.rendering import Figure, figure, rendered

TEMPLATE = Path(__file__).with_name("page.html.j2")
HUES = {None: 39, "simple": 16, "stitched": 210, "latent": 98}
"""By layout of an arm's view; arms of one layout differ in their lightness."""
LIGHTEST, DARKEST = 66, 38
MOST_NAMED = 6
"""Arms that the legend of the scan names; more of them are told by colour, and by name where one points."""
JSON, PAGE = "comparison.json", "comparison.html"
LARGEST_K = 64
"""To which an ensemble's law is drawn."""


def write_comparison(folder: Path, found: dict[str, Any]) -> Path:
    """Write `comparison.json` and `comparison.html`; returns the page's path."""
    write_whole(folder / JSON, json.dumps(found, indent=1) + "\n")
    write_whole(folder / PAGE, page(found))
    return folder / PAGE


def page(found: dict[str, Any]) -> str:
    """The HTML."""
    return rendered(
        TEMPLATE, figures=_plots(figures(found)), found=found, answer=answer(found), baseline=found["arms"][BASELINE],
        positions=any(arm["by_position"] for arm in found["arms"].values()),
        filters={
            "loss": _loss, "power": lambda value: f"{value:.2e}", "number": lambda value: f"{value:,}", "times": times,
        },
    )  # fmt: skip


def _plots(traces: dict[str, list[dict[str, Any]]]) -> dict[str, Figure]:
    """The traces with their axes."""
    members = [1, 2, 3, 5, 10, 30]
    axes: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "arms": (_axis("held-out loss, nats per token"), {"autorange": "reversed"}),
        "scan": (_axis("real tokens D", type="log", dtick="D2", tickformat="~s"), _axis("held-out loss")),
        "ensembles": (
            _axis("members K", type="log", tickvals=[*members, 2 * LARGEST_K], ticktext=[*map(str, members), "C"]),
            _axis("held-out loss"),
        ),
        "positions": (
            _axis("position, up to", type="log", dtick=math.log10(2)), _axis("gain over baseline, nats"),
        ),
    }  # fmt: skip
    return {name: figure(traces[name], xaxis=x, yaxis=y) for name, (x, y) in axes.items()}


def _axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}, **more}


def answer(found: dict[str, Any]) -> list[str]:
    """What was measured, in sentences."""
    measured = {name: arm for name, arm in found["arms"].items() if arm["loss"] is not None}
    base = measured.pop(BASELINE, None)
    if base is None or not measured:
        return ["The baseline and another arm have to be trained and evaluated before there is an answer."]
    name, best = min(measured.items(), key=lambda pair: pair[1]["loss"])
    gain = base["loss"] - best["loss"]
    sentences = [
        f"The best arm, {name}, has a held-out loss {abs(gain):.4f} nats per token "
        f"{'below' if gain > 0 else 'above'} the baseline's."
    ]
    efficiency = best["efficiency"]
    if gain > 0 and efficiency and efficiency["value"]:
        sentences.append(f"By the baseline's law, that takes {times(efficiency)} the real data.")
    elif gain > 0 and efficiency:
        sentences.append("The baseline's law, as far as its points tell it, never comes down to that loss.")
    if best["steps"] != base["steps"]:
        sentences.append(f"It was trained for {best['steps'] / base['steps']:.3g} times the baseline's steps.")
    return [*sentences, _scatter(found, base, best)]


def _scatter(found: dict[str, Any], base: dict[str, Any], best: dict[str, Any]) -> str:
    """How far a difference of two arms may come of their seeds alone: twice its standard error, all arms pooled."""
    several = [(len(arm["losses"]) - 1, arm["deviation"]) for arm in found["arms"].values() if arm["deviation"]]
    if not several:
        return "One seed was run of each arm, so how far seeds scatter is not known."
    pooled = math.sqrt(sum(free * deviation**2 for free, deviation in several) / sum(free for free, _ in several))
    by_chance = 2 * pooled * math.sqrt(1 / len(base["losses"]) + 1 / len(best["losses"]))
    told = "more than" if abs(base["loss"] - best["loss"]) > by_chance else "not told from"
    return f"That is {told} what seeds explain: they scatter by {pooled:.4f}, so up to {by_chance:.4f} may be chance."


def times(efficiency: dict[str, float | None] | None) -> str:
    """An efficiency with its interval; ∞ stands for what the law never comes down to."""
    if efficiency is None:
        return "–"
    shown = {name: "∞" if efficiency[name] is None else f"{efficiency[name]:.2f}" for name in ("value", "low", "high")}
    interval = f" ({shown['low']} to {shown['high']})" if efficiency["low"] is not None else ""
    return f"{shown['value']}×{interval}"


def figures(found: dict[str, Any]) -> dict[str, Any]:
    """Traces of each plot."""
    colours = _colours(found)
    measured = {name: arm for name, arm in found["arms"].items() if arm["loss"] is not None}
    return {
        "arms": _arms(measured, colours), "scan": _scan(found, measured, colours),
        "ensembles": _ensembles(found["ensembles"], colours), "positions": _positions(measured, colours),
    }  # fmt: skip


def _colours(found: dict[str, Any]) -> dict[str, str]:
    """Arm -> colour: the layout's hue, the darker the later it stands in the file."""
    layouts: dict[str | None, list[str]] = {}
    for name, arm in found["arms"].items():
        layouts.setdefault(found["config"]["views"][arm["view"]]["layout"] if arm["view"] else None, []).append(name)
    return {
        name: f"hsl({HUES[layout]}, 55%, {_lightness(place, len(names))}%)"
        for layout, names in layouts.items() for place, name in enumerate(names)
    }  # fmt: skip


def _lightness(place: int, places: int) -> int:
    return round(DARKEST + (LIGHTEST - DARKEST) * (places - 1 - place) / places)


def _arms(measured: dict[str, Any], colours: dict[str, str]) -> list[dict[str, Any]]:
    deviations = [arm["deviation"] or 0 for arm in measured.values()]
    return [
        {
            "type": "scatter", "mode": "markers+text", "cliponaxis": False, "showlegend": False,
            "x": [arm["loss"] for arm in measured.values()], "y": list(measured),
            "text": [f"{arm['loss']:.3f}" for arm in measured.values()], "textposition": "top center",
            "error_x": {"array": deviations, "thickness": 1.2, "width": 5, "color": "#8a8580"},
            "marker": {"size": 12, "color": [colours[name] for name in measured]},
        }
    ]  # fmt: skip


def _scan(found: dict[str, Any], measured: dict[str, Any], colours: dict[str, str]) -> list[dict[str, Any]]:
    scan = found["scan"]
    if not scan:
        return []
    colour, traces = colours[BASELINE], []
    points = [point for point in scan["points"] if point["loss"] is not None]
    if scan["curve"]:
        x, loss, low, high = map(list, zip(*scan["curve"], strict=True))
        if low[0] is not None:
            edges = {"type": "scatter", "mode": "none", "fill": "toself", "fillcolor": colour, "opacity": 0.18}
            traces.append(edges | {"x": x + x[::-1], "y": high + low[::-1], "name": "95% of the fits",
                                   "hoverinfo": "skip"})  # fmt: skip
        traces.append(_line(x, loss, colour, "A / D^B + C"))
    traces.append(_dots([p["tokens"] for p in points], [p["loss"] for p in points], colour, "baseline, by real tokens"))
    worth = _line([p["worth"] for p in points], [p["loss"] for p in points], "#7a7367", "what the repeats are worth")
    traces.append(worth | {"mode": "lines+markers", "line": {"color": "#7a7367", "dash": "dot", "width": 2},
                           "marker": {"size": 6}})  # fmt: skip
    for name, arm in measured.items():
        tokens = (arm["efficiency"] or {}).get("tokens")
        if tokens and scan["curve"] and tokens <= scan["curve"][-1][0]:
            mark = {"size": 12, "symbol": "diamond", "color": colours[name]}
            named = {"showlegend": len(measured) <= MOST_NAMED}
            traces.append(_dots([tokens], [arm["loss"]], colours[name], name) | {"marker": mark} | named)
    return traces


def _ensembles(ensembles: dict[str, Any], colours: dict[str, str]) -> list[dict[str, Any]]:
    traces = []
    for arm, kept in ensembles.items():
        colour, law = colours[arm], kept.get("law")
        members = list(range(1, len(kept["losses"]) + 1))
        traces.append(_dots(members, kept["losses"], colour, arm))
        if not law:
            continue
        limit, at = law["c"], np.geomspace(1, LARGEST_K, 60).tolist()
        traces.append(_line(at, [law["a"] / k ** law["b"] + limit["value"] for k in at], colour, arm) |
                      {"showlegend": False})  # fmt: skip
        up, down = (0, 0) if limit["low"] is None else (limit["high"] - limit["value"], limit["value"] - limit["low"])
        ends = {"array": [up], "arrayminus": [down], "symmetric": False}
        mark = {"symbol": "line-ew-open", "size": 18, "color": colour, "line": {"width": 3}}
        traces.append(_dots([2 * LARGEST_K], [limit["value"]], colour, f"{arm}: C") |
                      {"marker": mark, "error_y": ends, "showlegend": False})  # fmt: skip
    return traces


def _positions(measured: dict[str, Any], colours: dict[str, str]) -> list[dict[str, Any]]:
    """What each arm gains over the baseline, by position."""
    base = measured.get(BASELINE, {}).get("by_position")
    if not base:
        return []
    return [
        _line([row["to"] + 1 for row in arm["by_position"]],
              [own["loss"] - other["loss"] for own, other in zip(base, arm["by_position"], strict=True)],
              colours[name], name) | {"mode": "lines+markers"}
        for name, arm in measured.items() if arm["by_position"] and name != BASELINE
    ]  # fmt: skip


def _line(x: list[float], y: list[float], colour: str, name: str) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, "line": {"color": colour, "width": 2}}


def _dots(x: list[float], y: list[float], colour: str, name: str) -> dict[str, Any]:
    return {"type": "scatter", "mode": "markers", "x": x, "y": y, "name": name,
            "marker": {"size": 9, "color": colour}}  # fmt: skip


def _loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
