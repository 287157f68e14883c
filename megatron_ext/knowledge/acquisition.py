"""How well facts were learnt and kept, from the log-probabilities of their probes. Arithmetic only.

l(q; t) is the mean log-probability of a token of probe q's target, in nats, before update t; the fact of q stands in
the batches of updates t_1 < ... < t_N.

    local acquisition maximum   t_LAM(q, i) = argmax of l(q; t) over t_i < t <= t_i + window
    effectivity                 E(q, i) = l(q; t_LAM(q, i)) - l(q; t_i)
    retainability               R(q, t) = [l(q; t_LAM(q, N) + t) - l(q; t_1)] / [l(q; t_LAM(q, N)) - l(q; t_1)]
    forgetting                  R falls as a straight line in log10 t, by `decay` for each factor of ten;
                                where the line meets 0 is the learnability threshold

A maximum is looked for among the measured steps, of equal ones the earliest. A window ends at the next showing at the
latest, where the gain of another showing would begin; with the source's schedule it never comes so far. A window that
the run has not passed yet has no maximum: the largest value so far would be too small.

Shapes: N measured steps, P probes, I showings, T steps after a maximum.

Source: Chang et al. 2024, How Do Large Language Models Acquire Factual Knowledge During Pretraining?, arXiv:2406.11813.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from megatron_ext.knowledge.record import Record

WINDOW = 50
"""Steps in which a showing takes effect."""

FEWEST = 3
"""Points of a line whose uncertainty is asked for."""


class State(IntEnum):
    """What is known of one showing of one probe, or of what a probe keeps."""

    DEFINED = 0
    CUT = 1
    """The run has not passed the window."""
    NOT_MEASURED = 2
    """There is no measurement at the showing, or none in its window."""
    NEVER_LEARNT = 3
    """The last maximum is not above where the probe began: there is nothing of which to keep a share."""
    NOT_SHOWN = 4


@dataclass(frozen=True)
class Showings:
    """What each showing did. Probes with fewer showings than others are NOT_SHOWN in the last rows."""

    before_IP: np.ndarray
    """l(q; t_i); NaN where it was not measured."""
    peak_IP: np.ndarray
    """l(q; t_LAM); NaN unless DEFINED."""
    row_IP: np.ndarray
    """Place of t_LAM among the measured steps; -1 unless DEFINED."""
    state_IP: np.ndarray
    last_P: np.ndarray
    """The number of each probe's last showing; -1 where there is none."""
    shortened: bool
    """Whether windows were ended by the next showing."""

    @property
    def effectivity_IP(self) -> np.ndarray:
        """E(q, i) in nats; NaN unless DEFINED."""
        return self.peak_IP - self.before_IP


@dataclass(frozen=True)
class Retention:
    """What probes keep of all that their showings taught, after their last maximum."""

    after_T: np.ndarray
    """Steps since the maximum, rising from 0."""
    share_PT: np.ndarray
    """R(q, t); NaN where probe q is not DEFINED or was not measured."""
    state_P: np.ndarray
    reach: int
    """Steps for which every DEFINED probe was followed."""


@dataclass(frozen=True)
class Line:
    """R = intercept - decay x log10(t)."""

    decay: float
    intercept: float
    sigma: float
    """Standard error of `decay`: sqrt(sum of squared residuals / (n - 2)) / sqrt(sum of (x - mean of x)^2)."""
    r2: float
    """Share of the variance that the line explains."""
    points: int

    @property
    def log10_threshold(self) -> float:
        """log10 of the steps after which nothing is left; infinite if the line does not fall."""
        return self.intercept / self.decay if self.decay > 0 else np.inf


def showings(record: Record, probes: Sequence[int], *, window: int = WINDOW) -> Showings:
    """The local acquisition maxima of some probes, by their number in the record."""
    schedules: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, probe in enumerate(probes):
        schedules[record.shown.get(record.probes[probe].passage, ())].append(place)
    most, columns = max(map(len, schedules), default=0), np.asarray(probes, dtype=int)
    before_IP, peak_IP = np.full((most, len(probes)), np.nan), np.full((most, len(probes)), np.nan)
    row_IP = np.full((most, len(probes)), -1)
    state_IP = np.full((most, len(probes)), State.NOT_SHOWN)
    last_P, shortened = np.full(len(probes), -1), False
    for shown, members in schedules.items():
        last_P[members] = len(shown) - 1
        for i, at in enumerate(shown):
            end = min([at + window, *shown[i + 1 : i + 2]])
            shortened |= end < at + window
            found = _maximum(record, columns[members], at, end)
            before_IP[i, members], peak_IP[i, members], row_IP[i, members], state_IP[i, members] = found
    return Showings(before_IP, peak_IP, row_IP, state_IP, last_P, shortened)


def _maximum(record: Record, probes_P: np.ndarray, at: int, end: int) -> tuple[np.ndarray, ...]:
    """(l before, l at the maximum, its row, state) of each probe, for a showing at a step and a window's last step."""
    steps_N, nothing_P = record.steps_N, np.full(len(probes_P), np.nan)
    first, begin, stop = np.searchsorted(steps_N, [at, at + 1, end + 1])
    before_P = record.values_NP[first, probes_P].astype(float) if begin > first else nothing_P
    no_row_P = np.full(len(probes_P), -1)
    if not len(steps_N) or steps_N[-1] < end:
        return before_P, nothing_P, no_row_P, np.full(len(probes_P), State.CUT)
    if begin == stop:
        return before_P, nothing_P, no_row_P, np.full(len(probes_P), State.NOT_MEASURED)
    window_NP = record.values_NP[begin:stop, probes_P].astype(float)
    window_NP[~np.isfinite(window_NP)] = -np.inf
    best_P = window_NP.argmax(axis=0)
    peak_P = np.take_along_axis(window_NP, best_P[None], axis=0)[0]
    good_P = np.isfinite(peak_P) & np.isfinite(before_P)
    return (
        np.where(np.isfinite(before_P), before_P, np.nan), np.where(good_P, peak_P, np.nan),
        np.where(good_P, begin + best_P, -1), np.where(good_P, State.DEFINED, State.NOT_MEASURED),
    )  # fmt: skip


def retainability(record: Record, probes: Sequence[int], shown: Showings) -> Retention:
    """R(q, t) of some probes at the steps where they were measured after their last maximum.

    It is above 1 where a probe went on to improve, below 0 where it fell under its beginning.
    """
    columns, everyone = np.asarray(probes, dtype=int), np.arange(len(probes))
    if not len(shown.before_IP):
        nothing = np.full((len(probes), 0), np.nan)
        return Retention(np.zeros(0, dtype=int), nothing, np.full(len(probes), State.NOT_SHOWN), 0)
    start_P, peak_P = shown.before_IP[0], shown.peak_IP[shown.last_P, everyone]
    state_P = shown.state_IP[shown.last_P, everyone].copy()
    state_P[shown.last_P < 0] = State.NOT_SHOWN
    state_P[(state_P == State.DEFINED) & np.isnan(start_P)] = State.NOT_MEASURED
    state_P[(state_P == State.DEFINED) & ~(peak_P > start_P)] = State.NEVER_LEARNT
    row_P = shown.row_IP[shown.last_P, everyone]
    rows = np.unique(row_P[state_P == State.DEFINED])
    steps = record.steps_N
    after_T = np.unique(np.concatenate([steps[row:] - steps[row] for row in rows])) if len(rows) else steps[:0]
    share_PT = np.full((len(probes), len(after_T)), np.nan, dtype=np.float32)
    for row in rows:
        members = np.flatnonzero((row_P == row) & (state_P == State.DEFINED))
        places = np.searchsorted(after_T, steps[row:] - steps[row])
        values_PT = record.values_NP[row:, columns[members]].astype(float).T
        gained = (peak_P - start_P)[members, None]
        share_PT[np.ix_(members, places)] = (values_PT - start_P[members, None]) / gained
    share_PT[~np.isfinite(share_PT)] = np.nan
    return Retention(after_T, share_PT, state_P, int(steps[-1] - steps[rows[-1]]) if len(rows) else 0)


def forgetting_line(after: np.ndarray, share: np.ndarray) -> Line | None:
    """The line through R(t) against log10 t by least squares; None if fewer than FEWEST points differ.

    Args:
        after: steps since the maximum, from 1.
        share: R at each, a mean over probes.
    """
    if len(after) < FEWEST:
        return None
    x, y = np.log10(after) - np.log10(after).mean(), np.asarray(share, dtype=float)
    slope = float(x @ y / (x @ x))
    residual, scatter = y - y.mean() - slope * x, y - y.mean()
    squares, total = float(residual @ residual), float(scatter @ scatter)
    sigma = float(np.sqrt(squares / (len(x) - 2) / (x @ x)))
    intercept = float(y.mean() - slope * np.log10(after).mean())
    return Line(-slope, intercept, sigma, 1 - squares / total if total else 1.0, len(x))
