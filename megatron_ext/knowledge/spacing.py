"""How often and how far apart things are shown, and which are shown too rarely to stay. Arithmetic only.

A showing is a step whose batch holds the thing: two in one batch are one, for one update learns from both. The interval
of a thing is the mean number of steps between its showings, (last - first) / (showings - 1). The learnability threshold
is the interval at which all that a showing taught is forgotten before the next one.

Source of the threshold: Chang et al. 2024, arXiv:2406.11813.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from data_tools.intervals import wilson

BINS = 4
"""Of the histogram, for each doubling of the interval."""
QUANTILES = {"least": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "most": 1.0}


@dataclass(frozen=True)
class Spacing:
    """Of each of some things, by its number: arrays of equal length."""

    showings: np.ndarray
    """int64."""
    interval: np.ndarray
    """float64, steps; NaN below two showings."""
    interval_tokens: np.ndarray
    """The same in tokens of the run."""
    longest: np.ndarray
    """int64, most steps between two showings; 0 below two."""
    last: np.ndarray
    """int64, step of the last showing; -1 without any."""

    @classmethod
    def of(
        cls, things: np.ndarray, steps: np.ndarray, *, count: int, tokens_before: Callable[[np.ndarray], np.ndarray]
    ) -> Self:
        """From showings in any order, repeated or not.

        Args:
            things: which thing each showing is of, 0 .. count - 1.
            steps: at which step, counted from 0.
            count: how many things there are.
            tokens_before: steps -> tokens that the run has trained before each.
        """
        width = int(steps.max(initial=0)) + 1
        things, steps = np.divmod(np.unique(things * width + steps), width)
        showings = np.bincount(things, minlength=count)
        first, last, longest = np.zeros(count, np.int64), np.full(count, -1), np.zeros(count, np.int64)
        first[things[::-1]] = steps[::-1]
        last[things] = steps
        follows = np.flatnonzero(np.diff(things) == 0) + 1
        np.maximum.at(longest, things[follows], steps[follows] - steps[follows - 1])
        again = np.where(showings > 1, showings - 1.0, np.nan)
        tokens = tokens_before(np.maximum(last, 0)) - tokens_before(first)
        return cls(showings, (last - first) / again, tokens / again, longest, last)

    def __len__(self) -> int:
        return len(self.showings)


def figures(spacing: Spacing) -> dict[str, Any]:
    """The spacing of all things together.

    Returns:
        documents: how many there are; never, once: how many are shown so often;
        showings: quantiles and mean over all of them;
        interval, interval_tokens, longest: the same over those shown twice or more; null where there are none;
        histogram: [{"from", "to", "documents"}] of their intervals in steps, four for each doubling, `to` not included.
    """
    again = spacing.showings > 1
    return {
        "documents": len(spacing),
        "never": int((spacing.showings == 0).sum()),
        "once": int((spacing.showings == 1).sum()),
        "showings": _spread(spacing.showings),
        "interval": _spread(spacing.interval[again]),
        "interval_tokens": _spread(spacing.interval_tokens[again]),
        "longest": _spread(spacing.longest[again]),
        "histogram": _histogram(spacing.interval[again]),
    }


def verdict(spacing: Spacing, threshold: float, *, steps: int, exact: bool) -> dict[str, Any]:
    """What a run of so many steps will not learn, if showings further apart than the threshold leave nothing.

    Args:
        spacing: of each thing.
        threshold: steps.
        steps: of the run.
        exact: whether these are all things, not a sample of them.

    Returns:
        beyond: things shown twice or more, whose interval is longer than the threshold;
        within: the others of these; faded: those of `within` whose last showing is more than the threshold before the
        end of the run, so that it has forgotten them by then;
        not_learnt: share of all things that are never shown, shown once, or beyond; low, high: its 95% interval by
        Wilson's formula, equal to it where `exact`.
    """
    again = spacing.showings > 1
    beyond = again & (spacing.interval > threshold)
    within = again & ~beyond
    lost = int((~within).sum())
    share = lost / len(spacing) if len(spacing) else 0.0
    low, high = (share, share) if exact or not len(spacing) else wilson(lost, len(spacing))
    return {
        "beyond": int(beyond.sum()), "within": int(within.sum()),
        "faded": int((within & (steps - spacing.last > threshold)).sum()),
        "not_learnt": share, "low": low, "high": high,
    }  # fmt: skip


def worst_first(spacing: Spacing) -> np.ndarray:
    """Things by how rarely they are shown: never, once, then the longest interval first."""
    rarity = np.where(spacing.showings == 0, 0, np.where(spacing.showings == 1, 1, 2))
    return np.lexsort((-np.nan_to_num(spacing.interval), rarity))


def _spread(values: np.ndarray) -> dict[str, float] | None:
    if not len(values):
        return None
    quantiles = np.quantile(values, list(QUANTILES.values())).tolist()
    return dict(zip(QUANTILES, quantiles, strict=True)) | {"mean": float(values.mean())}


def _histogram(intervals: np.ndarray) -> list[dict[str, float]]:
    """The bins that something falls into, rising."""
    bins, counts = np.unique(np.floor(BINS * np.log2(intervals)), return_counts=True)
    edges = (2.0 ** (bins / BINS)).tolist(), (2.0 ** ((bins + 1) / BINS)).tolist()
    return [
        {"from": low, "to": high, "documents": count} for low, high, count in zip(*edges, counts.tolist(), strict=True)
    ]
