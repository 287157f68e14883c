"""Traces of the plots of a report on knowledge: panels by group, colours by kind of probe, dashes by run."""

from typing import Any

import numpy as np

KNOWN = {"memorisation": "#d2521c", "semantic": "#3a7fc4", "compositional": "#5f9142"}
OTHERS = ("#8a63b8", "#a3803a", "#2a9d8f", "#7a7367")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
NEVER_SHOWN = "never shown"
FARTHEST_LINE = 100.0
"""How many times what was followed the line goes on, if it meets zero there."""

LEAST_R, LARGEST_R = -1.0, 2.0
MARGIN = 0.06


def colours(found: dict[str, Any]) -> dict[str, str]:
    """Kind of probe -> colour."""
    kinds: list[str] = []
    for run in found["runs"].values():
        kinds += [kind for group in run["groups"].values() for kind in group["kinds"]]
        kinds += (run["never_shown"] or {}).get("change", {})
    others = [kind for kind in dict.fromkeys(kinds) if kind not in KNOWN]
    extra = {kind: OTHERS[place % len(OTHERS)] for place, kind in enumerate(others)}
    return {kind: (KNOWN | extra)[kind] for kind in (*KNOWN, *others) if kind in kinds}


def figures(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Figure -> {"panels": {group: {"traces"}}, "range": of y, or null}."""
    drawn: dict[str, dict[str, Any]] = {name: {"panels": {}} for name in ("course", "around", "kept", "showings")}
    colour = colours(found)
    for (name, run), dash in zip(found["runs"].items(), _dashes(found), strict=True):
        named = f"{name}, " if len(found["runs"]) > 1 else ""
        for group, measured in run["groups"].items():
            for kind, of_kind in measured["kinds"].items():
                style = {"name": named + kind, "line": {"color": colour[kind], "dash": dash, "width": 2}}
                traces = {
                    "course": [_line(of_kind["course"], style)], "around": [_line(of_kind["around"], style)],
                    "kept": _kept(of_kind, style, band=not named), "showings": _showings(of_kind, style),
                }  # fmt: skip
                for figure, made in traces.items():
                    _panel(drawn[figure], group)["traces"] += [trace for trace in made if trace["x"]]
        for kind, points in (run["never_shown"] or {}).get("courses", {}).items():
            style = {"name": named + kind, "line": {"color": colour[kind], "dash": dash, "width": 2}}
            _panel(drawn["course"], NEVER_SHOWN)["traces"].append(_line(points, style))
    for figure in drawn.values():
        figure["panels"] = {group: panel for group, panel in figure["panels"].items() if panel["traces"]}
        figure["range"] = _range(figure)
    if drawn["kept"]["range"]:
        low, high = drawn["kept"]["range"]
        drawn["kept"]["range"] = [max(low, LEAST_R), min(high, LARGEST_R)]
    return drawn


def _dashes(found: dict[str, Any]) -> list[str]:
    return [DASHES[place % len(DASHES)] for place in range(len(found["runs"]))]


def _panel(figure: dict[str, Any], group: str) -> dict[str, Any]:
    return figure["panels"].setdefault(group, {"traces": []})


def _line(points: list[list[float]], style: dict[str, Any]) -> dict[str, Any]:
    x, y = (list(values) for values in zip(*points, strict=True)) if points else ([], [])
    return {"type": "scatter", "mode": "lines", "x": x, "y": y} | style


def _kept(kind: dict[str, Any], style: dict[str, Any], *, band: bool) -> list[dict[str, Any]]:
    """The mean of R, with its interval if `band`; the line through it, up to where it meets zero if that is not far."""
    curve, decay, threshold = kind["retainability"]["curve"], kind["decay"], kind["learnability_threshold"]
    if not curve:
        return []
    x, mean, low, high = (list(values) for values in zip(*curve, strict=True))
    colour, traces = style["line"]["color"], []
    if band and None not in low + high:
        edges = {"type": "scatter", "mode": "none", "fill": "toself", "fillcolor": colour, "opacity": 0.16}
        traces.append(edges | {"x": x + x[::-1], "y": high + low[::-1], "hoverinfo": "skip", "name": "95%"})
    dots = {"type": "scatter", "mode": "markers", "marker": {"size": 4, "color": colour, "opacity": 0.7}}
    traces.append(dots | {"x": x, "y": mean, "name": style["name"]})
    if decay is None:
        return traces
    end, meets = kind["retainability"]["followed_for"], threshold["steps"]
    crosses = meets is not None and 1 <= meets <= FARTHEST_LINE * end
    at = np.geomspace(1, max(end, meets) if crosses else end, 40)
    traces.append(_line(np.stack([at, decay["intercept"] - decay["a"] * np.log10(at)], axis=1).tolist(), style))
    if crosses:
        mark = {"size": 10, "symbol": "diamond", "color": colour}
        traces.append(dots | {"x": [meets], "y": [0.0], "marker": mark, "name": f"{style['name']}: threshold"})
    return traces


def _showings(kind: dict[str, Any], style: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [(place + 1, each) for place, each in enumerate(kind["effectivity_by_showing"]) if each["mean"] is not None]
    if len(kind["effectivity_by_showing"]) < 2:
        return []
    trace = _line([[place, each["mean"]] for place, each in rows], style) | {"mode": "lines+markers"}
    if all(each["interval"] for _, each in rows):
        up = [each["interval"][1] - each["mean"] for _, each in rows]
        down = [each["mean"] - each["interval"][0] for _, each in rows]
        trace["error_y"] = {"array": up, "arrayminus": down, "symmetric": False, "thickness": 1, "width": 3}
    return [trace]


def _range(figure: dict[str, Any]) -> list[float] | None:
    """From the least to the largest y of all panels, so that they can be compared."""
    values = [y for panel in figure["panels"].values() for trace in panel["traces"] for y in _ends(trace)]
    if not values:
        return None
    margin = MARGIN * (max(values) - min(values)) or 1.0
    return [min(values) - margin, max(values) + margin]


def _ends(trace: dict[str, Any]) -> list[float]:
    bars = trace.get("error_y")
    if not bars:
        return trace["y"]
    ups = [y + up for y, up in zip(trace["y"], bars["array"], strict=True)]
    return ups + [y - down for y, down in zip(trace["y"], bars["arrayminus"], strict=True)]
