"""Measures and findings as a dictionary that JSON can hold: what `knowledge.json` says of runs.

A figure is {"mean", "interval"}: the interval is null where it is not known, an end of it is null where it is infinite.
What is not defined is null beside the reason or the counts of why.
"""

import math
from collections.abc import Mapping
from typing import Any

from megatron_ext.knowledge.findings import Finding, MeasuredRun
from megatron_ext.knowledge.measures import Control, GroupMeasures, KindMeasures, Measures, Settings
from megatron_ext.knowledge.resampling import Estimate

MUCH_BESIDE_GAINS = 0.1
"""Share of the largest gain of a kind, from which on what its probes do without showings is worth a note."""

LARGEST_POWER = 300
"""Of ten; a threshold beyond it is given as its logarithm only."""


def described(runs: Mapping[str, MeasuredRun], found: list[Finding], settings: Settings) -> dict[str, Any]:
    """All of it."""
    outliers = settings.outliers if math.isfinite(settings.outliers) else None
    said = {name: _run(run) for name, run in runs.items()}
    return {
        "settings": {"window": settings.window, "outliers": outliers, "confidence": 0.95},
        "runs": said,
        "learnability_thresholds": [
            {"run": name, "group": group, "kind": kind, "passages": measured["passages"]}
            | {unit: of_kind["learnability_threshold"][unit] for unit in ("steps", "tokens")}
            for name, run in said.items() for group, measured in run["groups"].items()
            for kind, of_kind in measured["kinds"].items()
        ],
        "findings": [_finding(finding) for finding in found],
    }  # fmt: skip


def _run(run: MeasuredRun) -> dict[str, Any]:
    measures = run.measures
    return {
        "parameters": run.parameters, "tokens_per_step": measures.tokens_per_step,
        "first_step": measures.first_step, "last_step": measures.last_step,
        "measurements": measures.measurements, "steps_between_measurements": measures.spacing,
        "notes": _notes(measures),
        "groups": {name: _group(group, measures.tokens_per_step) for name, group in measures.groups.items()},
        "never_shown": _control(measures.never_shown) if measures.never_shown else None,
    }  # fmt: skip


def _group(group: GroupMeasures, tokens_per_step: int) -> dict[str, Any]:
    kinds = {name: _kind(kind, tokens_per_step) for name, kind in group.kinds.items()}
    return {"passages": group.passages, "showings": group.showings, "windows_end_at_next_showing": group.shortened,
            "kinds": kinds}  # fmt: skip


def _kind(kind: KindMeasures, tokens_per_step: int) -> dict[str, Any]:
    line = kind.line
    return {
        "probes": kind.probes,
        "effectivity": figure(kind.effectivity) | {"showings": kind.showings},
        "effectivity_by_showing": [figure(each) for each in kind.by_showing],
        "gain": figure(kind.gain),
        "retainability": {"probes": kind.kept, "followed_for": kind.reach, "curve": kind.curve},
        "decay": None if line is None else {
            "a": line.decay, "sigma": line.sigma, "interval": _interval(kind.decay), "intercept": line.intercept,
            "r2": line.r2, "points": line.points,
        },
        "learnability_threshold": _threshold(kind, tokens_per_step),
        "course": kind.course, "around": kind.around,
    }  # fmt: skip


def _threshold(kind: KindMeasures, tokens_per_step: int) -> dict[str, Any]:
    log10 = kind.log10_threshold.value
    steps = None if log10 is None else _power(log10)
    interval = kind.log10_threshold.interval
    why = kind.no_line
    if why is None and log10 == math.inf:
        why = "R does not fall: nothing was forgotten while it was followed"
    return {
        "steps": steps, "tokens": None if steps is None else steps * tokens_per_step,
        "log10_steps": log10 if log10 is not None and math.isfinite(log10) else None,
        "interval": None if interval is None else [_power(end) for end in interval],
        "extrapolated": steps is None or steps > kind.reach, "why": why,
    }  # fmt: skip


def _power(log10: float) -> float | None:
    return 10.0**log10 if log10 <= LARGEST_POWER else None


def _control(control: Control) -> dict[str, Any]:
    return {"passages": control.passages, "change": {kind: figure(each) for kind, each in control.change.items()},
            "courses": control.courses}  # fmt: skip


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "says": finding.says, "runs": finding.where, "verdict": finding.verdict, "why": finding.why,
        "figure": finding.figure, "difference": figure(finding.mean),
        "places": [
            {"place": place.name, "larger": finite(place.larger), "smaller": finite(place.smaller),
             "difference": figure(place.difference), "verdict": place.verdict}
            for place in finding.places
        ],
    }  # fmt: skip


def figure(estimate: Estimate) -> dict[str, Any]:
    """{"mean", "interval"}."""
    return {"mean": finite(estimate.value), "interval": _interval(estimate)}


def _interval(estimate: Estimate) -> list[float | None] | None:
    return None if estimate.interval is None else [finite(end) for end in estimate.interval]


def finite(value: float | None) -> float | None:
    """The value, or None for what JSON has no number for."""
    return value if value is not None and math.isfinite(value) else None


def _notes(measures: Measures) -> list[str]:
    """What a reader has to know of a run before its figures."""
    kinds = [kind for group in measures.groups.values() for kind in group.kinds.values()]
    notes = []
    if not kinds:
        notes.append("The run showed no passage.")
    if (measures.spacing or 1) > 1:
        notes.append(f"Up to {measures.spacing} steps lie between two measurements; a maximum is looked for among "
                     "measured steps, so effectivity may be more.")  # fmt: skip
    if any(group.shortened for group in measures.groups.values()):
        notes.append("Showings follow each other within a window: windows end at the next showing.")
    lacking = (
        ("cut_by_the_end", "the run has not passed their window"),
        ("not_measured", "they or their window were not measured"),
    )
    total = sum(kind.showings[key] for kind in kinds for key in ("defined", "cut_by_the_end", "not_measured"))
    for key, why in lacking:
        if missing := sum(kind.showings[key] for kind in kinds):
            notes.append(f"{missing:,} of {total:,} gains are not known: {why}.")
    if never := sum(kind.kept["never_learnt"] for kind in kinds):
        learnt = sum(kind.kept["defined"] for kind in kinds)
        notes.append(f"{never:,} of {never + learnt:,} probes were never learnt: their last maximum is not above where "
                     "they began. They are left out of R, the decay and the threshold.")  # fmt: skip
    if by_itself := _background(measures):
        notes.append(f"Probes of passages never shown moved too, by {by_itself} nats per token from the first "
                     "measurement to the last: not all that was gained was taught by showings.")  # fmt: skip
    return notes


def _background(measures: Measures) -> str:
    """How far each kind of probe went without showings, if that is much beside what showings did; else nothing."""
    moved = []
    for kind, change in (measures.never_shown.change if measures.never_shown else {}).items():
        gains = [group.kinds[kind].gain.value or 0 for group in measures.groups.values() if kind in group.kinds]
        if change.value is not None and gains and abs(change.value) > MUCH_BESIDE_GAINS * max(map(abs, gains)):
            moved.append(f"{change.value:+.3f} ({kind})")
    return ", ".join(moved)
