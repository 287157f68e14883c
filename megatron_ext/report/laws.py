"""Laws that losses follow, fitted with their uncertainty: power laws, data efficiency, and the worth of repetition.

    loss(x) = A / x^B + C      x: tokens of unique data, or members of an ensemble; C is what no x goes below

Sources: megadocs (ensembles over K, data efficiency over D); Muennighoff et al. 2023, Scaling Data-Constrained Language
Models (repetition).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from data_tools.errors import InputError

FEWEST = 3
"""Points that decide on three parameters."""

DRAWS = 1000
"""Of the parameters, for the uncertainty of what is computed from them."""

INTERVAL = (2.5, 97.5)
"""Per cent."""

SMALLEST_B, LARGEST_B = 0.01, 8.0
REPEATS_WORTH = 15.39
"""R*: repeats after which data has lost its worth by a factor of e."""


@dataclass(frozen=True)
class Interval:
    """A value with the middle 95% of what it may be. None: as many points as parameters, which tell no uncertainty."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class PowerLaw:
    """loss(x) = a / x^b + c."""

    a: float
    b: float
    c: float
    points: int
    residual: float
    """Root mean square of the points' distances, as far as they are more than the parameters; else 0."""
    draws: np.ndarray | None
    """Parameters as the points allow them, shape (DRAWS, 3): a, b, c. None: too few points for that."""

    def at(self, x: float) -> float:
        """The loss at x."""
        return self.a / x**self.b + self.c

    def inverse(self, loss: float) -> float:
        """The x that has this loss; infinite for one that the law never comes down to."""
        return float(_inverse(np.array([self.a, self.b, self.c]), loss))

    @cached_property
    def limit(self) -> Interval:
        """C, which the law tends to."""
        return self._interval(self.c, None if self.draws is None else self.draws[:, 2])

    def efficiency(self, loss: float, base: float) -> Interval:
        """How many times the data of a run with loss `base` would have to grow to reach `loss`: D(loss) / D(base).

        Source: megadocs, data efficiency.
        """
        value = _efficiency(np.array([[self.a, self.b, self.c]]), loss, base)[0]
        return self._interval(float(value), None if self.draws is None else _efficiency(self.draws, loss, base))

    @staticmethod
    def _interval(value: float, draws: np.ndarray | None) -> Interval:
        if draws is None:
            return Interval(value)
        low, high = np.percentile(draws, INTERVAL, method="nearest")
        return Interval(value, float(low), float(high))


def fit(x: Sequence[float], losses: Sequence[float], *, what: str = "points", seed: int = 0) -> PowerLaw:
    """The power law through some points, by least squares.

    For a given B the other two parameters are a straight line's, so only B is searched for.

    Args:
        x: positive, at least FEWEST different values.
        losses: at each x.
        what: they are, for errors.
        seed: of the draws.

    Raises:
        InputError: there are too few points, or they follow no falling power law.
    """
    from scipy.optimize import minimize_scalar

    at, found = np.asarray(x, dtype=float), np.asarray(losses, dtype=float)
    if len(set(at.tolist())) < FEWEST or at.shape != found.shape:
        raise InputError(
            where=f"fit over {what}", found=f"{len(set(at.tolist()))} different values of x",
            expected=f"at least {FEWEST}, for a law of three parameters",
            fix="Finish more runs; to tell the uncertainty, one more than that.",
        )  # fmt: skip
    scale = float(np.exp(np.log(at).mean()))  # keeps x^B near 1, whatever the unit

    def distance(log_b: float) -> float:
        return float((_line(at / scale, found, np.exp(log_b))[1] ** 2).sum())

    grid = np.linspace(np.log(SMALLEST_B), np.log(LARGEST_B), 60)
    nearest = int(np.argmin([distance(log_b) for log_b in grid]))
    bounds = (grid[max(0, nearest - 1)], grid[min(len(grid) - 1, nearest + 1)])
    b = float(np.exp(minimize_scalar(distance, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x))
    (a, c), rest = _line(at / scale, found, b)
    falls = a * ((at / scale) ** -b).max() > 1e-9 * np.abs(found).max()
    if not falls or not SMALLEST_B * 1.01 < b < LARGEST_B * 0.99:
        raise InputError(
            where=f"fit over {what}", found="losses that fall along no power law: " + _shown(at, found),
            expected="A / x^B + C with A and B above 0",
            fix="Look at the runs: one of them may have diverged, or is not at its best settings.",
        )  # fmt: skip
    free = len(at) - FEWEST
    residual = float(np.sqrt((rest**2).sum() / free)) if free else 0.0
    draws = _draws(at / scale, a, b, c, residual, seed) if free else None
    if draws is not None:
        draws[:, 0] *= scale ** draws[:, 1]
    return PowerLaw(float(a) * scale**b, b, float(c), len(at), residual, draws)


def fit_or_reason(x: Sequence[float], losses: Sequence[float], *, what: str) -> PowerLaw | str:
    """The law, or why there is none: too few points, or they follow none."""
    try:
        return fit(x, losses, what=what)
    except InputError as error:
        return str(error).splitlines()[0]


def described(law: PowerLaw | str) -> dict[str, Any]:
    """A law, or why there is none, as plain values."""
    if isinstance(law, str):
        return {"law": None, "no_law": law}
    limit = {"value": law.limit.value, "low": law.limit.low, "high": law.limit.high}
    return {"law": {"a": law.a, "b": law.b, "c": limit, "points": law.points, "residual": law.residual}}


def worth(unique: float, repeats: float) -> float:
    """Unique tokens that `unique` tokens are worth when they are seen `repeats` times more after the first.

    Source: Muennighoff et al. 2023: U + U R* (1 - exp(-R / R*)).
    """
    return unique + unique * REPEATS_WORTH * (1 - float(np.exp(-repeats / REPEATS_WORTH)))


def _line(x: np.ndarray, losses: np.ndarray, b: float) -> tuple[np.ndarray, np.ndarray]:
    """(A, C) of the best line over x^-B, and what it leaves."""
    columns = np.stack([x**-b, np.ones_like(x)], axis=1)
    parameters = np.linalg.lstsq(columns, losses, rcond=None)[0]
    return parameters, losses - columns @ parameters


def _draws(x: np.ndarray, a: float, b: float, c: float, residual: float, seed: int) -> np.ndarray:
    """Parameters of fits to points that scatter about the law as these do: a parametric bootstrap.

    The parameters hang together, and C's uncertainty is lopsided, so no covariance would do. How far points scatter is
    itself unsure where they are few: each draw has its own size, as Student's t has.
    """
    chance = np.random.default_rng(seed)
    candidates = np.exp(np.linspace(np.log(max(SMALLEST_B, b / 6)), np.log(min(LARGEST_B, b * 6)), 250))
    free = len(x) - FEWEST
    sizes = residual * np.sqrt(free / chance.chisquare(free, size=(DRAWS, 1)))
    scattered = a * x**-b + c + sizes * chance.normal(size=(DRAWS, len(x)))
    best = np.full(DRAWS, np.inf)
    found = np.empty((DRAWS, 3))
    for other in candidates:
        columns = np.stack([x**-other, np.ones_like(x)], axis=1)
        parameters = scattered @ np.linalg.pinv(columns).T
        distance = ((scattered - parameters @ columns.T) ** 2).sum(axis=1)
        better = (distance < best) & (parameters[:, 0] > 0)
        best[better] = distance[better]
        found[better] = np.column_stack([parameters[:, 0], np.full(DRAWS, other), parameters[:, 1]])[better]
    return found[np.isfinite(best)]


def _inverse(parameters: np.ndarray, loss: float) -> np.ndarray:
    a, b, c = parameters.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(loss > c, (a / (loss - c)) ** (1 / b), np.inf)


def _efficiency(parameters: np.ndarray, loss: float, base: float) -> np.ndarray:
    reached, needed = _inverse(parameters, base), _inverse(parameters, loss)
    return np.where(np.isfinite(reached), needed / np.where(np.isfinite(reached), reached, 1), np.inf)


def _shown(x: np.ndarray, losses: np.ndarray) -> str:
    return ", ".join(f"{loss:.4g} at {at:.4g}" for at, loss in zip(x, losses, strict=True))
