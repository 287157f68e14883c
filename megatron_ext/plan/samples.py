"""The sample plan: which tokens a run trains on, and in what order.

`locate(i)` says for global sample i: which source, which epoch, and where in it. It is a pure function of the config
and the sizes of the corpora. Nothing is shuffled in memory or cached on disk, so a plan for 1T tokens costs what a
plan for 1M tokens costs.

Promises, each with a test of the same words in tests/megatron_ext/plan/test_samples.py:
  - an epoch covers each window once, and no token twice;
  - extending the budget of a run with one source, or of all sources in proportion, changes no planned sample;
  - layout and micro batch change no sample, and the global batch only where a step ends;
  - a source with max_epochs 1 is never read twice.

A *sample* is one row of `sequence_length` tokens; a *window* is such a row cut from a corpus. The corpus is a ring:
the cut between windows moves from epoch to epoch, so no token stands at the edge of its window for ever. Tokens are
read in data/batches.py; budgets are settled, and refused, in plan/budget.py.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from data_tools.errors import InputError
from megatron_ext.config import RunConfig
from megatron_ext.plan.budget import rows_per_epoch, settle
from megatron_ext.plan.permutation import Permutation, keyed_hash

ORDER = 1
"""Version of the order, part of every fingerprint: raise it with any change of what `locate` answers."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Where one row comes from."""

    source: str
    epoch: int
    """How often the source had been read through before, counted from 0."""
    start: int
    """Windows: the token the row begins with. It ends after sequence_length more, for the last label, and goes
    round the end of the corpus. Pairs: the index of the pair."""


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """One source of the mixture, in rows."""

    name: str
    kind: str
    size: int
    """Tokens of a source of windows, pairs of a source of pairs."""
    rows: int
    """Rows that the run takes from it."""
    rows_per_epoch: int


@dataclass(frozen=True, kw_only=True)
class SamplePlan:
    """The order of all samples of a run."""

    seed: int
    sequence_length: int
    global_batch: int
    sources: tuple[SourcePlan, ...]
    """By name, so that the order in the file changes nothing."""

    @classmethod
    def of(cls, config: RunConfig, sizes: Mapping[str, int]) -> "SamplePlan":
        """The plan of a run.

        Args:
            config: the run.
            sizes: source name -> tokens of its corpus; for a source of pairs, its pairs.

        Raises:
            InputError: the corpora are too small for what the run asks of them.
        """
        settle(config, sizes)
        length = config.batch.sequence_length
        sources = (
            SourcePlan(
                name, source.kind, sizes[name], source.tokens // length, rows_per_epoch(source, sizes[name], length)
            )
            for name, source in sorted(config.sources.items())
        )
        return cls(
            seed=config.seed,
            sequence_length=length,
            global_batch=config.batch.global_batch,
            sources=tuple(sources),
        )

    @property
    def samples(self) -> int:
        return sum(source.rows for source in self.sources)

    @property
    def steps(self) -> int:
        return self.samples // self.global_batch

    @property
    def fingerprint(self) -> str:
        """Equal for plans with the same samples in the same steps; a checkpoint's step means nothing under another."""
        text = json.dumps({"order": ORDER, **asdict(self)}, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def locate(self, i: int) -> Sample:
        """Sample i of the run, counted from 0; time grows with the number of sources only.

        IndexError if the run has no such sample.
        """
        if not 0 <= i < self.samples:
            raise IndexError(f"sample {i} of a plan of {self.samples}")
        source, row = self._turn(i)
        epoch, place = divmod(row, source.rows_per_epoch)
        index = Permutation(source.rows_per_epoch, (self.seed, source.name, epoch, "order")).at(place)
        if source.kind == "pairs":
            return Sample(source.name, epoch, index)
        cut = int.from_bytes(keyed_hash(self.seed, source.name, epoch, "cut")) % source.size
        return Sample(source.name, epoch, (cut + index * self.sequence_length) % source.size)

    def consumed(self, first: int, stop: int) -> Iterator[tuple[int, Sample]]:
        """(step, sample) for every sample of steps first .. stop-1, in order.

        Raises:
            InputError: the run has no such steps.
        """
        if not 0 <= first <= stop <= self.steps:
            raise InputError(
                where="steps",
                found=f"{first}:{stop}",
                expected=f"a range inside 0:{self.steps}, the steps of this run",
                fix="Ask for steps that the run has.",
            )
        samples = range(first * self.global_batch, stop * self.global_batch)
        return ((i // self.global_batch, self.locate(i)) for i in samples)

    def _turn(self, i: int) -> tuple[SourcePlan, int]:
        """Whose turn sample i is, and which of that source's rows it gets.

        Each source in turn is set against all that come after it: of the first i turns it has
        floor(i * rows / left + 1/2), so it is never half a row away from its share of them. Only the ratio of the
        rows counts: where all grow in proportion, nobody's turn moves.
        """
        left = self.samples
        for source in self.sources:
            before, after = (_share(turn, source.rows, left) for turn in (i, i + 1))
            if after > before:
                return source, before
            i, left = i - before, left - source.rows
        raise AssertionError("every sample is some source's turn")


def _share(turns: int, rows: int, left: int) -> int:
    return (2 * turns * rows + left) // (2 * left)
