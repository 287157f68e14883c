"""The files of a comparison to one dictionary of numbers, and the laws through them; what isn't there is listed."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from megatron_ext.compare.cost import costs
from megatron_ext.compare.runs import Comparison, PlannedRun
from megatron_ext.compare.work import ENSEMBLE, RESULTS
from megatron_ext.config import as_dict
from megatron_ext.config.comparison import BASELINE
from megatron_ext.report.laws import INTERVAL, Interval, PowerLaw, described, fit_or_reason, worth

CURVE_POINTS = 60
BEYOND = 4.0
"""How many times the largest amount of data the law's curve goes on: where better arms lie."""


def collect(comparison: Comparison) -> dict[str, Any]:
    """All that the page shows; docs/formats.md lists the keys. Nothing has to be finished."""
    plan = costs(comparison)
    arms = {name: _arm(comparison, runs) | plan["arms"][name] for name, runs in comparison.arms.items()}
    scan, law = _scan(comparison, arms[BASELINE]["loss"])
    for name, arm in arms.items():
        arm["efficiency"] = _efficiency(law, arm["loss"], arms[BASELINE]["loss"]) if name != BASELINE else None
    config = comparison.config
    return {
        "name": config.name, "seed": config.seed,
        "heldout_tokens": _heldout_tokens(comparison),
        "missing": [run.name for run in comparison.runs if _results(comparison, run) is None],
        "parameters": plan["parameters"], "tokens_per_step": plan["tokens_per_step"],
        "real_tokens": plan["tokens_per_step"] * config.steps_per_epoch, "total": plan["total"],
        "arms": arms, "scan": scan, "ensembles": _ensembles(comparison), "config": as_dict(config),
    }  # fmt: skip


def _arm(comparison: Comparison, runs: Sequence[PlannedRun]) -> dict[str, Any]:
    arm, first = comparison.config.arms[runs[0].arm], runs[0]
    found = {run.seed: results for run in runs if (results := _results(comparison, run))}
    losses = [results["heldout"]["loss"] for results in found.values()]
    positions = [results["by_position"] for results in found.values() if "by_position" in results]
    return {
        "view": arm.view, "weight": arm.weight, "changes": arm.changes,
        "worth": worth(first.real_tokens, first.epochs - 1),
        "losses": {str(seed): results["heldout"]["loss"] for seed, results in found.items()},
        "loss": fmean(losses) if losses else None,
        "deviation": stdev(losses) if len(losses) > 1 else None,
        "by_position": _mean_by_position(positions),
    }  # fmt: skip


def _mean_by_position(members: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [
        {"from": rows[0]["from"], "to": rows[0]["to"], "loss": fmean(row["loss"] for row in rows)}
        for rows in zip(*members, strict=True)
    ]


def _scan(comparison: Comparison, baseline: float | None) -> tuple[dict[str, Any] | None, PowerLaw | str]:
    """The points and the law through them; the baseline arm, of as many seeds as it has, is one of the points."""
    if not comparison.scan:
        return None, "no scan"
    config = comparison.config
    runs = [(run, _loss(comparison, run)) for _, run in comparison.scan]
    runs.append((comparison.arms[BASELINE][0], baseline))
    points = [
        {
            "run": run.arm, "steps_per_epoch": run.real_tokens // config.batch.tokens_per_step,
            "tokens": run.real_tokens, "epochs": run.epochs, "worth": worth(run.real_tokens, run.epochs - 1),
            "loss": loss,
        }
        for run, loss in sorted(runs, key=lambda pair: pair[0].real_tokens)
    ]  # fmt: skip
    measured = [point for point in points if point["loss"] is not None]
    law = fit_or_reason([p["tokens"] for p in measured], [p["loss"] for p in measured], what="amounts of real data")
    return {"points": points} | described(law) | {"curve": _curve(law, points)}, law


def _curve(law: PowerLaw | str, points: Sequence[dict[str, Any]]) -> list[list[float | None]]:
    """[[tokens, loss, low, high], ...]: the law from the least amount to beyond the largest; None: not known."""
    if isinstance(law, str):
        return []
    first, last = points[0]["tokens"], points[-1]["tokens"] * BEYOND
    return [[x, law.at(x), *_band(law, x)] for x in np.geomspace(first, last, CURVE_POINTS).tolist()]


def _band(law: PowerLaw, x: float) -> list[float | None]:
    if law.draws is None:
        return [None, None]
    a, b, c = law.draws.T
    return np.percentile(a / x**b + c, INTERVAL).tolist()


def _efficiency(law: PowerLaw | str, loss: float | None, base: float | None) -> dict[str, float | None] | None:
    """Of an arm; a bound without end is None, as it is where the law never comes down to the loss."""
    if isinstance(law, str) or loss is None or base is None:
        return None
    found: Interval = law.efficiency(loss, base)
    tokens = law.inverse(loss)
    return {"value": _finite(found.value), "low": _finite(found.low), "high": _finite(found.high),
            "tokens": _finite(tokens)}  # fmt: skip


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _ensembles(comparison: Comparison) -> dict[str, Any]:
    """Arm -> {"losses" (of K = 1, 2, ...), "law" or "no_law"}, as `eval --ensemble` wrote them."""
    together = comparison.config.ensembles
    found = {arm: _json(comparison.ensemble(arm) / ENSEMBLE) for arm in (together.arms if together else ())}
    keys = ("losses", "law", "no_law")
    return {arm: {key: kept[key] for key in keys if key in kept} for arm, kept in found.items() if kept}


def _heldout_tokens(comparison: Comparison) -> int | None:
    found = (_results(comparison, run) for run in comparison.runs)
    return next((results["heldout"]["tokens"] for results in found if results), None)


def _loss(comparison: Comparison, run: PlannedRun) -> float | None:
    results = _results(comparison, run)
    return results["heldout"]["loss"] if results else None


def _results(comparison: Comparison, run: PlannedRun) -> dict[str, Any] | None:
    return _json(comparison.evaluation(run) / RESULTS)


def _json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.is_file() else None
