"""How log-probabilities went: over a whole run, and around the showings of a fact. Arithmetic only; means over probes.

Shapes: N measured steps, P probes.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from megatron_ext.knowledge.record import Record

MOST_POINTS = 600
"""Of a curve. Of longer ones every n-th point is taken, and every step with a showing."""


def course(record: Record, probes: Sequence[int]) -> list[list[float]]:
    """[[step, l - l(first showing)], ...]; of probes never shown: l - l(first measurement)."""
    if not len(record.steps_N) or not len(probes):
        return []
    steps_N, columns = record.steps_N, np.asarray(probes, dtype=int)
    shown = [record.shown.get(record.probes[probe].passage, ()) for probe in probes]
    start_P = np.array([steps[0] if steps else steps_N[0] for steps in shown])
    row_P = np.minimum(np.searchsorted(steps_N, start_P), len(steps_N) - 1)
    known = steps_N[row_P] == start_P
    columns, row_P = columns[known], row_P[known]
    marked = np.isin(steps_N, [step for steps in shown for step in steps])
    rows = np.flatnonzero(marked | (np.arange(len(steps_N)) % (len(steps_N) // MOST_POINTS + 1) == 0))
    rise_NP = record.values_NP[np.ix_(rows, columns)] - record.values_NP[row_P, columns]
    return _points(steps_N[rows], *_totals(rise_NP))


def around(record: Record, probes: Sequence[int], *, window: int) -> list[list[float]]:
    """[[steps since a showing, l - l(showing)], ...], a mean over probes and showings.

    It begins a fifth of a window before the showing and ends two windows after it, or where the next showing begins.
    """
    members: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for probe in probes:
        members[record.shown.get(record.probes[probe].passage, ())].append(probe)
    gaps = [int(gap) for shown in members for gap in np.diff(shown)]
    before, after = min([window // 5, *gaps]), min([2 * window, *gaps])
    sums, counts = np.zeros((2, before + after + 1))
    for shown, columns in members.items():
        for at in shown:
            row, begin, end = np.searchsorted(record.steps_N, [at, at - before, at + after + 1])
            if row == len(record.steps_N) or record.steps_N[row] != at:
                continue
            rise_NP = record.values_NP[begin:end, columns] - record.values_NP[row, columns]
            places, (total_N, count_N) = record.steps_N[begin:end] - at + before, _totals(rise_NP)
            sums[places] += total_N
            counts[places] += count_N
    return _points(np.arange(-before, after + 1), sums, counts)


def _totals(rise_NP: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    finite_NP = np.isfinite(rise_NP)
    return np.where(finite_NP, rise_NP, 0).sum(axis=1, dtype=float), finite_NP.sum(axis=1)


def _points(x: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> list[list[float]]:
    known = counts > 0
    return [[at, round(y, 6)] for at, y in zip(x[known].tolist(), (sums[known] / counts[known]).tolist(), strict=True)]
