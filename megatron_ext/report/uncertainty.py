"""How sure a figure is: the same items, and seeds, drawn again with replacement, for all arms at once.

Arms answer the same items, so a draw takes the same ones for each: what is easy or hard for all of them falls out of
their differences. Of several seeds as many are drawn again too, each with its items. An interval holds the middle 95%
of the draws.

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


def resampled(values_AI: np.ndarray, weights_I: np.ndarray, *, name: str, draws: int = DRAWS) -> Means:
    """Means over items.

    Args:
        values_AI: sums, such as negative log-probabilities of windows.
        weights_I: what they are divided by, such as tokens of windows.
        name: of what was asked. The draws depend on it and on the number of items, so those of the same questions,
            asked of several seeds, are the same.
        draws: how many.
    """
    items = len(weights_I)
    value_A = values_AI.sum(axis=1) / weights_I.sum()
    if items < 2:
        return Means(value_A, None)
    generator = np.random.default_rng([len(name), *name.encode()])
    at_once = max(1, MOST_AT_ONCE // items)
    parts = []
    for begin in range(0, draws, at_once):
        times_DI = generator.multinomial(items, np.full(items, 1 / items), size=min(at_once, draws - begin))
        parts.append((times_DI @ values_AI.T) / (times_DI @ weights_I)[:, None])
    return Means(value_A, np.concatenate(parts))


def over_seeds(each: Sequence[Means], *, name: str) -> Means:
    """The mean over seeds, which are drawn again too; each may have been asked about items of its own."""
    if len(each) == 1:
        return each[0]
    value_SA = np.array([means.value_A for means in each])
    draws = next((len(means.draws_DA) for means in each if means.draws_DA is not None), DRAWS)
    draws_SDA = np.stack([
        np.broadcast_to(means.value_A, (draws, len(means.value_A))) if means.draws_DA is None else means.draws_DA
        for means in each
    ])  # fmt: skip
    chosen_SD = np.random.default_rng([0, *name.encode()]).integers(len(each), size=(len(each), draws))
    return Means(value_SA.mean(axis=0), draws_SDA[chosen_SD, np.arange(draws)].mean(axis=0))


def _interval(value_D: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(value_D, CONFIDENCE)
    return float(low), float(high)


def averaged(each: Sequence[Means]) -> Means:
    """The plain mean of several figures, such as accuracies of benchmarks; each was drawn apart."""
    draws = [means.draws_DA for means in each if means.draws_DA is not None]
    value_A = np.mean([means.value_A for means in each], axis=0)
    return Means(value_A, np.mean(draws, axis=0) if len(draws) == len(each) else None)
