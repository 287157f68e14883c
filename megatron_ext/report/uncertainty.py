"""How sure a figure is: the same items, and seeds, drawn again with replacement, for all arms at once.

Arms answer the same items, so a draw takes the same ones for each: what is easy or hard for all of them falls out of
their differences. Of several seeds as many are drawn again too. An interval holds the middle 95% of the draws.

Shapes: A arms, S seeds, I items, D draws.

Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap: percentile intervals, paired samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
CONFIDENCE = (0.025, 0.975)
MOST_AT_ONCE = 1 << 22
"""Counts of drawn items that are held in memory."""
RARELY = 0.025
"""Share of draws in which a share may have no gain to be taken of, and still be told."""


@dataclass(frozen=True)
class Means:
    """The mean of each arm, and what it is in each draw."""

    value_A: np.ndarray
    draws_DA: np.ndarray | None
    """None: there is one item or none, and one seed, so nothing is known."""

    def difference(self, arm: int, base: int) -> "Estimate":
        """Of two arms' means."""
        value = float(self.value_A[arm] - self.value_A[base])
        if self.draws_DA is None:
            return Estimate(value)
        return Estimate(value, *_interval(self.draws_DA[:, arm] - self.draws_DA[:, base]))

    def of(self, arm: int) -> "Estimate":
        """One arm's mean."""
        value = float(self.value_A[arm])
        return Estimate(value) if self.draws_DA is None else Estimate(value, *_interval(self.draws_DA[:, arm]))

    def share(self, base: int, arm: int, oracle: int) -> "Estimate":
        """(base - arm) / (base - oracle); its interval is not known where the oracle's own gain may be none."""
        gain = float(self.value_A[base] - self.value_A[oracle])
        value = float(self.value_A[base] - self.value_A[arm]) / gain
        if self.draws_DA is None:
            return Estimate(value)
        gains_D = (self.draws_DA[:, base] - self.draws_DA[:, oracle]) * np.sign(gain)
        if (gains_D <= 0).mean() > RARELY:
            return Estimate(value)
        kept_DA = self.draws_DA[gains_D > 0]
        return Estimate(
            value, *_interval((kept_DA[:, base] - kept_DA[:, arm]) / (kept_DA[:, base] - kept_DA[:, oracle]))
        )


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval, if that is known."""

    value: float
    low: float | None = None
    high: float | None = None


def resampled(values_ASI: np.ndarray, weights_I: np.ndarray, *, name: str, draws: int = DRAWS) -> Means:
    """Means over items, each arm's over its seeds.

    Args:
        values_ASI: sums, such as negative log-probabilities of windows.
        weights_I: what they are divided by, such as tokens of windows.
        name: of what was asked, which the draws depend on.
        draws: how many.
    """
    _, seeds, items = values_ASI.shape
    value_A = (values_ASI.sum(axis=2) / weights_I.sum()).mean(axis=1)
    if items < 2 and seeds < 2:
        return Means(value_A, None)
    generator = np.random.default_rng([len(name), *name.encode()])
    at_once = max(1, MOST_AT_ONCE // items)
    parts = [
        _drawn(values_ASI, weights_I, min(at_once, draws - begin), generator) for begin in range(0, draws, at_once)
    ]
    return Means(value_A, np.concatenate(parts))


def _interval(value_D: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(value_D, CONFIDENCE)
    return float(low), float(high)


def averaged(each: Sequence[Means]) -> Means:
    """The plain mean of several figures, such as accuracies of benchmarks; each was drawn apart."""
    draws = [means.draws_DA for means in each if means.draws_DA is not None]
    value_A = np.mean([means.value_A for means in each], axis=0)
    return Means(value_A, np.mean(draws, axis=0) if len(draws) == len(each) else None)


def _drawn(
    values_ASI: np.ndarray, weights_I: np.ndarray, draws: int, generator: np.random.Generator
) -> np.ndarray:  # fmt: skip
    arms, seeds, items = values_ASI.shape
    times_DI = generator.multinomial(items, np.full(items, 1 / items), size=draws).astype(float)
    sums_DAS = (times_DI @ values_ASI.reshape(-1, items).T).reshape(draws, arms, seeds)
    means_DAS = sums_DAS / (times_DI @ weights_I)[:, None, None]
    chosen_DS = generator.integers(seeds, size=(draws, seeds))
    return np.take_along_axis(means_DAS, chosen_DS[:, None, :].repeat(arms, axis=1), axis=2).mean(axis=2)
