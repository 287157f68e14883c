"""The sample plan looked up backwards: from a place in a source to the samples, and the steps, that hold it.

`SamplePlan.locate` says where sample i comes from. Here, for one epoch of a source and as many of its places as asked
for at once, is which sample that is. Nothing is scanned: turns, shuffles and cuts are undone by arithmetic, so a plan
of 1T tokens costs what a plan of 1M tokens costs.

Promises, each with a test of the same words in tests/megatron_ext/plan/test_inverse.py:
  - every sample is found again from where it comes from;
  - every token of a window leads to the sample that holds it, a token of no window to none;
  - a row that the run does not reach has no sample.
"""

import numpy as np

from megatron_ext.plan.phases import Phase
from megatron_ext.plan.samples import Sample, SamplePlan

NOWHERE = -1
"""In place of the number of a sample: the run reads no such row."""


class InversePlan:
    """A plan, asked where in a run something is read."""

    def __init__(self, plan: SamplePlan):
        self.plan = plan
        self._rows = plan.rows_before(plan.samples)

    def epochs(self, source: str) -> range:
        """Epochs of a source that the run begins."""
        return range(-(-self._rows[source] // self.plan.sources[source].extent.rows))

    def where(self, source: str, start: int, epoch: int) -> int:
        """The sample that `locate` says comes from there, or NOWHERE. `start` as in Sample."""
        at = np.array([start])
        if self.plan.sources[source].kind == "pairs":
            return int(self.samples_of_rows(source, at, epoch)[0])
        found = int(self.samples_of_tokens(source, at, epoch)[0])
        begins = found != NOWHERE and self.plan.locate(found) == Sample(source, epoch, start)
        return found if begins else NOWHERE

    def samples_of_tokens(self, source: str, tokens: np.ndarray, epoch: int) -> np.ndarray:
        """The sample whose inputs hold each token in an epoch of a source of windows or megadocs.

        Args:
            source: its name.
            tokens: int64, counted through the corpus or the view.
            epoch: counted from 0.

        Returns:
            int64; NOWHERE for what the epoch's cut leaves over, and for what the run does not reach.
        """
        extent, length = self.plan.sources[source].extent, self.plan.batch.sequence_length
        windows = (tokens - self.plan.cut(source, epoch)) % extent.size // length
        inside = windows < extent.rows
        samples = np.full(len(tokens), NOWHERE, dtype=np.int64)
        samples[inside] = self.samples_of_rows(source, windows[inside], epoch)
        return samples

    def samples_of_rows(self, source: str, rows: np.ndarray, epoch: int) -> np.ndarray:
        """The sample of each row of a source in an epoch: windows counted from the epoch's cut, or packed rows.

        int64; NOWHERE for what the run does not reach.
        """
        shuffle = self.plan.shuffle(source, epoch)
        places = rows if shuffle is None else shuffle.inverses(rows)
        return self._samples_of_turns(source, epoch * self.plan.sources[source].extent.rows + places)

    def steps_of(self, samples: np.ndarray) -> np.ndarray:
        """The step, counted from 0, whose batch holds each sample."""
        steps, firsts, sizes = np.array(list(self.plan.batch.stages()), dtype=np.int64).T
        stage = np.searchsorted(firsts, samples, side="right") - 1
        return steps[stage] + (samples - firsts[stage]) // sizes[stage]

    def tokens_before(self, steps: np.ndarray) -> np.ndarray:
        """Tokens that the run has trained before each step."""
        firsts, samples, sizes = np.array(list(self.plan.batch.stages()), dtype=np.int64).T
        stage = np.searchsorted(firsts, steps, side="right") - 1
        before = samples[stage] + (steps - firsts[stage]) * sizes[stage]
        return np.minimum(before, self.plan.samples) * self.plan.batch.sequence_length

    def _samples_of_turns(self, source: str, turns: np.ndarray) -> np.ndarray:
        """The sample in which a source gives each of its rows, counted over the run."""
        samples = np.full(len(turns), NOWHERE, dtype=np.int64)
        given = 0
        for phase in self.plan.phases:
            count = phase.rows_before(phase.stop).get(source, 0)
            here = (turns >= given) & (turns < given + count)
            if here.any():
                samples[here] = phase.first + _turns_of_all(phase, source, turns[here] - given)
            given += count
        return samples


def _turns_of_all(phase: Phase, source: str, turns: np.ndarray) -> np.ndarray:
    """From turns of one source to turns of all: the halvings of `Phase.turn`, undone from the last to the first.

    Of t turns the lower half of some sources, with p of their w rows, has had floor(t p / w + 1/2). So its turn b is
    turn ceil(w (2 b + 1) / 2 p) - 1 of both, and turn c of the upper half is turn floor(w (2 c + 1) / 2 (w - p)).
    """
    for part, whole, lower in reversed(list(_halvings(phase, source))):
        if whole * (2 * int(turns.max()) + 1) >= 1 << 63:
            turns = turns.astype(object)  # Python's integers: slower, and without end
        if lower:
            turns = -(-whole * (2 * turns + 1) // (2 * part)) - 1
        else:
            turns = whole * (2 * turns + 1) // (2 * (whole - part))
    return turns.astype(np.int64)


def _halvings(phase: Phase, source: str) -> list[tuple[int, int, bool]]:
    """(rows of the lower half, rows of both, whether the source is in the lower one) on the way to a source."""
    sums = [0, *np.cumsum(phase.ratio, dtype=object).tolist()]
    at, low, high, found = phase.names.index(source), 0, len(phase.names), []
    while high - low > 1:
        middle = (low + high) // 2
        found.append((sums[middle] - sums[low], sums[high] - sums[low], at < middle))
        low, high = (low, middle) if at < middle else (middle, high)
    return found
