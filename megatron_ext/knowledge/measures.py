"""The measures of a run: effectivity, retainability, decay and learnability threshold of each group and kind of probe.

Means over probes without outliers, with the uncertainty that the choice of passages gives (`resampling.py`). What is
not defined is counted, never averaged. `acquisition.py` says what is measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from megatron_ext.knowledge.acquisition import (
    FEWEST,
    WINDOW,
    Line,
    Retention,
    Showings,
    State,
    forgetting_line,
    retainability,
    showings,
)
from megatron_ext.knowledge.curves import around, course
from megatron_ext.knowledge.record import Record
from megatron_ext.knowledge.resampling import NOTHING, OUTLIERS, Draws, Estimate, without_outliers

GROUPS = ("paraphrased", "duplicated", "once")
KINDS = ("memorisation", "semantic", "compositional")
"""In the order of tables; others come after them."""

LEAST_SHARE = 0.5
"""Of the probes that were learnt: a step after the maximum that fewer were measured at is left out of the line."""

CURVE_POINTS = 120


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How it is measured."""

    window: int = WINDOW
    outliers: float = OUTLIERS
    """Interquartile ranges; infinite: nothing is left out."""


@dataclass(frozen=True, kw_only=True)
class KindMeasures:
    """Of the probes of one kind in one group."""

    probes: int
    effectivity: Estimate
    """Nats per token and showing."""
    by_showing: tuple[Estimate, ...]
    gain: Estimate
    """l(q; t_LAM(q, N)) - l(q; t_1): what all showings taught, in nats per token."""
    showings: dict[str, int]
    """Of how many showings of a probe E is defined, why of others not, and how many outliers were left out."""
    kept: dict[str, int]
    """The same of probes and R; outliers are values R(q, t)."""
    curve: list[list[float | None]]
    """[[steps since the maximum, mean R, low, high], ...]."""
    line: Line | None
    no_line: str | None
    decay: Estimate
    log10_threshold: Estimate
    """Of the learnability threshold in steps."""
    reach: int
    """Steps after the maximum that the line rests on."""
    course: list[list[float]]
    around: list[list[float]]


@dataclass(frozen=True, kw_only=True)
class GroupMeasures:
    """Of passages that were shown in one way."""

    passages: int
    showings: int
    """The most of a passage."""
    shortened: bool
    """Whether windows were ended by the next showing."""
    kinds: dict[str, KindMeasures]


@dataclass(frozen=True, kw_only=True)
class Control:
    """Of passages that were never shown: how far their probes went by themselves."""

    passages: int
    courses: dict[str, list[list[float]]]
    change: dict[str, Estimate]
    """l at the last measurement less l at the first, in nats per token, by kind."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Of one run."""

    tokens_per_step: int
    first_step: int | None
    last_step: int | None
    measurements: int
    spacing: int | None
    """The most steps between two measurements."""
    groups: dict[str, GroupMeasures]
    never_shown: Control | None


def measure(record: Record, settings: Settings) -> Measures:
    """All measures of a run, as far as it has come."""
    grouped: dict[str, dict[str, list[int]]] = {}
    never: dict[str, list[int]] = {}
    for number, probe in enumerate(record.probes):
        shown = record.shown.get(probe.passage)
        kinds = grouped.setdefault(probe.group or "no group", {}) if shown else never
        kinds.setdefault(probe.kind, []).append(number)
    steps = record.steps_N
    return Measures(
        tokens_per_step=record.tokens_per_step, measurements=len(steps),
        first_step=int(steps[0]) if len(steps) else None, last_step=int(steps[-1]) if len(steps) else None,
        spacing=int(np.diff(steps).max()) if len(steps) > 1 else None,
        groups={name: _group(record, name, grouped[name], settings) for name in _ordered(grouped, GROUPS)},
        never_shown=_control(record, {name: never[name] for name in _ordered(never, KINDS)}) if never else None,
    )  # fmt: skip


def _ordered(found: dict[str, dict[str, list[int]]] | dict[str, list[int]], first: Sequence[str]) -> list[str]:
    return [name for name in first if name in found] + sorted(set(found) - set(first))


def _passages(record: Record, probes: Sequence[int]) -> np.ndarray:
    return np.array([record.probes[probe].passage for probe in probes], dtype=int)


def _group(record: Record, name: str, kinds: dict[str, list[int]], settings: Settings) -> GroupMeasures:
    everyone = _passages(record, [probe for probes in kinds.values() for probe in probes])
    draws, found, shortened, most = Draws(everyone, name=name), {}, False, 0
    for kind in _ordered(kinds, KINDS):
        shown = showings(record, kinds[kind], window=settings.window)
        shortened, most = shortened | shown.shortened, max(most, len(shown.before_IP))
        found[kind] = _kind(record, kinds[kind], shown, draws, settings)
    return GroupMeasures(passages=len(draws.passages), showings=most, shortened=shortened, kinds=found)


def _kind(record: Record, probes: Sequence[int], shown: Showings, draws: Draws, settings: Settings) -> KindMeasures:
    passage_P = _passages(record, probes)
    # Outliers are told among the same showing of all probes: the first one's gains differ from the later ones'.
    gains_PI, far_gains = without_outliers(shown.effectivity_IP.T, settings.outliers)
    kept = retainability(record, probes, shown)
    share_PT, far_shares = without_outliers(kept.share_PT, settings.outliers)
    last_P = shown.peak_IP[shown.last_P, np.arange(len(probes))] - shown.before_IP[0]
    states = {"defined": State.DEFINED, "cut_by_the_end": State.CUT, "not_measured": State.NOT_MEASURED}
    return KindMeasures(
        probes=len(probes), effectivity=draws.mean(gains_PI, passage_P),
        by_showing=tuple(draws.mean(gains_PI[:, i : i + 1], passage_P) for i in range(gains_PI.shape[1])),
        gain=draws.mean(without_outliers(last_P[:, None], settings.outliers)[0], passage_P),
        showings=_counts(shown.state_IP, states) | {"outliers": far_gains},
        kept=_counts(kept.state_P, states | {"never_learnt": State.NEVER_LEARNT}) | {"outliers": far_shares},
        course=course(record, probes), around=around(record, probes, window=settings.window),
        **_forgetting(kept, share_PT, passage_P, draws),
    )  # fmt: skip


def _counts(states: np.ndarray, names: dict[str, State]) -> dict[str, int]:
    return {name: int((states == state).sum()) for name, state in names.items()}


def _forgetting(kept: Retention, share_PT: np.ndarray, passage_P: np.ndarray, draws: Draws) -> dict[str, object]:
    """What KindMeasures says of R: its mean, the line through that, and where the line meets zero."""
    learnt = int((kept.state_P == State.DEFINED).sum())
    enough_T = (~np.isnan(kept.share_PT)).sum(axis=0) >= LEAST_SHARE * learnt
    used_T = enough_T & (kept.after_T >= 1) & (kept.after_T <= kept.reach)
    after_T, share_PT = kept.after_T[used_T], share_PT[:, used_T]
    mean_T = np.nanmean(share_PT, axis=0, dtype=float)
    line, drawn = forgetting_line(after_T, mean_T), _thinned(after_T)
    rows = zip(after_T[drawn].tolist(), mean_T[drawn], *draws.ends(share_PT[:, drawn], passage_P), strict=True)
    found = {"line": line, "reach": int(after_T[-1]) if len(after_T) else 0,
             "curve": [[at, *map(_number, values)] for at, *values in rows]}  # fmt: skip
    if line is None:
        why = f"R was measured at {len(after_T)} steps after the maxima, and a line takes {FEWEST}"
        why = why if learnt else "of no probe it is known that it was learnt"
        return found | {"no_line": why, "decay": NOTHING, "log10_threshold": NOTHING}
    lines_D2 = draws.lines(np.log10(after_T), share_PT, passage_P)
    if lines_D2 is None:
        return found | {"no_line": None, "decay": Estimate(line.decay),
                        "log10_threshold": Estimate(line.log10_threshold)}  # fmt: skip
    slope_D, intercept_D = lines_D2.T
    with np.errstate(divide="ignore", invalid="ignore"):
        threshold_D = np.where(slope_D < 0, -intercept_D / slope_D, np.where(np.isnan(slope_D), np.nan, np.inf))
    return found | {"no_line": None, "decay": Estimate(line.decay, -slope_D),
                    "log10_threshold": Estimate(line.log10_threshold, threshold_D)}  # fmt: skip


def _thinned(after_T: np.ndarray) -> np.ndarray:
    """Places of about CURVE_POINTS of them, evenly far apart on a logarithmic axis."""
    if len(after_T) <= CURVE_POINTS:
        return np.arange(len(after_T))
    return np.unique(np.searchsorted(after_T, np.geomspace(after_T[0], after_T[-1], CURVE_POINTS) - 1e-9))


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _control(record: Record, kinds: dict[str, list[int]]) -> Control:
    draws = Draws(_passages(record, [probe for probes in kinds.values() for probe in probes]), name="never shown")
    change = {}
    for kind, probes in kinds.items():
        values_NP = np.where(np.isfinite(record.values_NP), record.values_NP, np.nan)[:, probes].astype(float)
        change[kind] = draws.mean((values_NP[-1:] - values_NP[:1]).T, _passages(record, probes))
    return Control(passages=len(draws.passages), change=change,
                   courses={kind: course(record, probes) for kind, probes in kinds.items()})  # fmt: skip
