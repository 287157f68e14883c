"""Phases: stretches of a run with one mixture each, and whose turn it is within them.

Inside a phase the sources take turns in a fixed order that only their ratio decides. The next phase goes on with each
source at the row after the last one it gave, so a changed mixture repeats and skips nothing. A phase that is stopped
early keeps the turns that it was planned with.
"""

from dataclasses import dataclass, field
from itertools import accumulate
from math import gcd

from megatron_ext.config import RunConfig


@dataclass(frozen=True, slots=True)
class Phase:
    """Samples first .. stop-1 of a run."""

    first: int
    stop: int
    names: tuple[str, ...]
    """Its sources, by name, so that the order in the file changes nothing."""
    ratio: tuple[int, ...]
    """Rows of each source in the mixture, reduced by what divides them all."""
    given: tuple[int, ...]
    """Rows that each source gave in earlier phases."""
    _sums: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sums", tuple(accumulate(self.ratio, initial=0)))

    def turn(self, i: int) -> tuple[str, int]:
        """Whose turn sample i of the run is, and which of that source's rows it gets, counted over the run.

        The sources are halved again and again. Of the first t turns that two halves share, one gets
        floor(t * its rows / rows of both + 1/2), the other the rest, so neither is ever half a row away from its part
        of them. Up to four sources are therefore always within one row of their ratio, 2^k sources within k/2 rows.
        Only the ratio counts: where all sources grow in proportion, nobody's turn moves.
        """
        sums, low, high, turns = self._sums, 0, len(self.names), i - self.first
        while high - low > 1:
            middle = (low + high) // 2
            part, whole = sums[middle] - sums[low], sums[high] - sums[low]
            before = (2 * turns * part + whole) // (2 * whole)
            if (2 * (turns + 1) * part + whole) // (2 * whole) > before:
                high, turns = middle, before
            else:
                low, turns = middle, turns - before
        return self.names[low], self.given[low] + turns

    def rows_before(self, i: int) -> dict[str, int]:
        """Rows that each source gave in this phase before sample i of the run; all of them where i is beyond it."""
        rows: dict[str, int] = {}
        waiting = [(0, len(self.names), min(max(i, self.first), self.stop) - self.first)]
        while waiting:
            low, high, turns = waiting.pop()
            if high - low == 1:
                rows[self.names[low]] = turns
                continue
            middle = (low + high) // 2
            part, whole = self._sums[middle] - self._sums[low], self._sums[high] - self._sums[low]
            before = (2 * turns * part + whole) // (2 * whole)
            waiting += [(middle, high, turns - before), (low, middle, before)]
        return rows


def phases_of(config: RunConfig) -> tuple[Phase, ...]:
    """The phases of a run, in their order."""
    length, first = config.batch.sequence_length, 0
    given = dict.fromkeys(config.sources, 0)
    phases = []
    for mixture in config.mixture:
        names = tuple(sorted(mixture.tokens))
        rows = [mixture.tokens[name] // length for name in names]
        common = gcd(*rows)
        phase = Phase(
            first=first,
            stop=first + mixture.length // length,
            names=names,
            ratio=tuple(count // common for count in rows),
            given=tuple(given[name] for name in names),
        )
        phases.append(phase)
        first = phase.stop
        for name, count in phase.rows_before(phase.stop).items():
            given[name] += count
    return tuple(phases)
