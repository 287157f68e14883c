"""Means over probes with their uncertainty, and which values are left out of them.

Probes of one passage rise and fall together, so what is drawn again is passages: an interval holds the middle 95% of
the means over as many passages drawn with replacement. The draws of a group are the same for each kind of probe, and
for each run of the same facts, so that differences between those are told apart as pairs.

Shapes: P probes, T values of each (showings, or steps), G passages, D draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

OUTLIERS = 1.5
"""Interquartile ranges below the first and above the third quartile, outside of which a value is left out."""

DRAWS = 1000
CONFIDENCE = (0.025, 0.975)
MOST_AT_ONCE = 4_000_000
"""Numbers of drawn curves that are held in memory."""


@dataclass(frozen=True)
class Estimate:
    """A figure and what it is in each draw. None: it is not defined, or one passage tells no uncertainty."""

    value: float | None
    draws_D: np.ndarray | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The middle 95% of the draws; an end may be infinite."""
        if self.value is None or self.draws_D is None or np.isnan(self.draws_D).any():
            return None
        low, high = np.quantile(self.draws_D, CONFIDENCE, method="nearest")
        return float(low), float(high)

    def minus(self, other: "Estimate") -> "Estimate":
        """The difference, draw by draw; not defined if one of them isn't, or is infinite."""
        if self.value is None or other.value is None or not np.isfinite([self.value, other.value]).all():
            return Estimate(None)
        if self.draws_D is None or other.draws_D is None:
            return Estimate(self.value - other.value)
        with np.errstate(invalid="ignore"):
            return Estimate(self.value - other.value, self.draws_D - other.draws_D)


NOTHING = Estimate(None)


class Draws:
    """How often each passage of a group is drawn, and means with it."""

    def __init__(self, passages: Sequence[int], *, name: str):
        """`name`: of the group; groups are drawn apart from each other."""
        self.passages = np.unique(passages)
        generator = np.random.default_rng([len(name), *name.encode()])
        number = len(self.passages)
        self._times_DG = generator.multinomial(number, np.full(number, 1 / number), size=DRAWS).astype(float)

    def mean(self, values_PT: np.ndarray, passage_P: np.ndarray) -> Estimate:
        """The mean of all values but NaN."""
        sums_GT, counts_GT = self._by_passage(values_PT, passage_P)
        if not counts_GT.sum():
            return NOTHING
        value = float(sums_GT.sum() / counts_GT.sum())
        return Estimate(value, self._ratio(sums_GT.sum(axis=1), counts_GT.sum(axis=1)))

    def ends(self, values_PT: np.ndarray, passage_P: np.ndarray) -> np.ndarray:
        """Low and high end of the mean at each T, shape (2, T); NaN where they are not known."""
        draws_DT = self._ratio(*self._by_passage(values_PT, passage_P))
        if draws_DT is None or not draws_DT.shape[1]:
            return np.full((2, values_PT.shape[1]), np.nan)
        return np.quantile(draws_DT, CONFIDENCE, axis=0, method="nearest")

    def lines(self, x_T: np.ndarray, values_PT: np.ndarray, passage_P: np.ndarray) -> np.ndarray | None:
        """Slope and intercept of the line through the mean at each x, shape (D, 2); None for one passage.

        A draw without a value at some x has its line through the others.
        """
        if len(self.passages) < 2:
            return None
        sums_GT, counts_GT = self._by_passage(values_PT, passage_P)
        at_once = max(1, MOST_AT_ONCE // len(x_T))
        parts = (slice(begin, begin + at_once) for begin in range(0, DRAWS, at_once))
        return np.concatenate([_lines(x_T, self._ratio(sums_GT, counts_GT, part)) for part in parts])

    def _ratio(self, sums: np.ndarray, counts: np.ndarray, which: slice = slice(None)) -> np.ndarray | None:
        if len(self.passages) < 2:
            return None
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self._times_DG[which] @ sums) / (self._times_DG[which] @ counts)

    def _by_passage(self, values_PT: np.ndarray, passage_P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        place_P, known_PT = np.searchsorted(self.passages, passage_P), ~np.isnan(values_PT)
        sums_GT, counts_GT = np.zeros((2, len(self.passages), values_PT.shape[1]))
        np.add.at(sums_GT, place_P, np.where(known_PT, values_PT, 0))
        np.add.at(counts_GT, place_P, known_PT)
        return sums_GT, counts_GT


def _lines(x_T: np.ndarray, y_DT: np.ndarray) -> np.ndarray:
    """Slope and intercept by least squares of each row of y, without its NaN; shape (D, 2)."""
    known_DT = (~np.isnan(y_DT)).astype(float)
    y_DT = np.where(known_DT > 0, y_DT, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        number_D = known_DT.sum(axis=1)
        x_D, mean_D = known_DT @ x_T / number_D, y_DT.sum(axis=1) / number_D
        slope_D = (y_DT @ x_T / number_D - x_D * mean_D) / (known_DT @ x_T**2 / number_D - x_D**2)
    return np.stack([slope_D, mean_D - slope_D * x_D], axis=1)


def without_outliers(values_PT: np.ndarray, factor: float = OUTLIERS) -> tuple[np.ndarray, int]:
    """The values with NaN for those too far from the quartiles of their column, and how many those are.

    `factor` interquartile ranges are allowed; infinite: all stay. Quartiles lie on straight lines between values.
    """
    known_PT = ~np.isnan(values_PT)
    if not np.isfinite(factor) or not known_PT.any():
        return values_PT, 0
    sorted_PT = np.sort(values_PT, axis=0)  # NaN come last; numpy's own nanquantile goes column by column
    low_T, high_T = (_quantile(sorted_PT, known_PT.sum(axis=0), share) for share in (0.25, 0.75))
    margin_T = factor * (high_T - low_T)
    with np.errstate(invalid="ignore"):
        outside_PT = known_PT & ((values_PT < low_T - margin_T) | (values_PT > high_T + margin_T))
    return np.where(outside_PT, np.nan, values_PT), int(outside_PT.sum())


def _quantile(sorted_PT: np.ndarray, counts_T: np.ndarray, share: float) -> np.ndarray:
    place_T = share * np.maximum(counts_T - 1, 0)
    below_T = np.floor(place_T).astype(int)
    above_T = np.minimum(below_T + 1, np.maximum(counts_T - 1, 0))
    low_T, high_T = (np.take_along_axis(sorted_PT, at[None], axis=0)[0] for at in (below_T, above_T))
    return low_T + (high_T - low_T) * (place_T - below_T)
