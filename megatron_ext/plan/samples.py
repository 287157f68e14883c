"""The sample plan: which tokens a run trains on, and in what order.

`locate(i)` says for global sample i: which source, which epoch, and where in it. It is a pure function of the config
and the extents of the corpora. Nothing is shuffled in memory or cached on disk, so a plan for 1T tokens costs what a
plan for 1M tokens costs.

Promises, each with a test of the same words in tests/megatron_ext/plan/test_samples.py:
  - an epoch covers each window once, and no token twice;
  - extending the budget of one source, of all in proportion, or by a phase changes no planned sample;
  - a mixture changed in a new phase repeats nothing and skips nothing;
  - layout, micro batch, global batch and ramp change no sample, and the latter two only where a step ends;
  - a source with max_epochs 1 is never read twice.

A *sample* is one row of `sequence_length` tokens; a *window* is such a row cut from a corpus. The corpus is a ring:
the cut between windows moves from epoch to epoch, so no token stands at the edge of its window for ever. Tokens are
read in data/sources.py; budgets are settled, and refused, in plan/budget.py.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any

from data_tools.errors import InputError
from megatron_ext.config import BatchConfig, RunConfig
from megatron_ext.plan.budget import settle
from megatron_ext.plan.extent import Extent
from megatron_ext.plan.permutation import Permutation, keyed_hash
from megatron_ext.plan.phases import Phase, phases_of
from megatron_ext.plan.resume import difference

ORDER = 2
"""Version of the order, part of every fingerprint: raise it with any change of what `locate` answers."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Where one row comes from."""

    source: str
    epoch: int
    """How often the source had been read through before, counted from 0."""
    start: int
    """Windows: the token the row begins with. It ends after sequence_length more, for the last label, and goes
    round the end of the corpus. Pairs: which packed row of the epoch."""


@dataclass(frozen=True, kw_only=True)
class SamplePlan:
    """The order of all samples of a run."""

    seed: int
    batch: BatchConfig
    kinds: Mapping[str, str]
    """Source -> windows or pairs, by name."""
    extents: Mapping[str, Extent]
    phases: tuple[Phase, ...]

    @classmethod
    def of(cls, config: RunConfig, extents: Mapping[str, Extent]) -> "SamplePlan":
        """The plan of a run.

        Args:
            config: the run.
            extents: what each source holds.

        Raises:
            InputError: the corpora are too small for what the run asks of them.
        """
        settle(config, extents)
        names = sorted(config.sources)
        return cls(
            seed=config.seed,
            batch=config.batch,
            kinds={name: config.sources[name].kind for name in names},
            extents={name: extents[name] for name in names},
            phases=phases_of(config),
        )

    @property
    def samples(self) -> int:
        return self.phases[-1].stop

    @property
    def steps(self) -> int:
        return self.batch.steps(self.samples)

    @property
    def rows_per_epoch(self) -> dict[str, int]:
        return {name: extent.rows for name, extent in self.extents.items()}

    def samples_before(self, step: int) -> int:
        """Samples of the steps before one, counted from 0; the last step may be a partial one."""
        return min(self.batch.first_sample(step), self.samples)

    def locate(self, i: int) -> Sample:
        """Sample i of the run, counted from 0; time grows with the number of sources only.

        IndexError if the run has no such sample.
        """
        if not 0 <= i < self.phases[-1].stop:
            raise IndexError(f"sample {i} of a plan of {self.samples}")
        phase = self.phases[bisect_right(self._firsts, i) - 1]
        name, row = phase.turn(i)
        extent = self.extents[name]
        epoch, place = divmod(row, extent.rows)
        index = _permutation(extent.rows, self.seed, name, epoch).at(place)
        if self.kinds[name] == "pairs":
            return Sample(name, epoch, index)
        start = _cut(extent.size, self.seed, name, epoch) + index * self.batch.sequence_length
        return Sample(name, epoch, start % extent.size)

    def rows_by_phase(self, samples: int) -> list[dict[str, int]]:
        """For every phase, source -> its rows among the first samples of the run."""
        return [phase.rows_before(samples) for phase in self.phases]

    def rows_before(self, samples: int) -> dict[str, int]:
        """Source -> its rows among the first samples of the run."""
        total = dict.fromkeys(self.extents, 0)
        for phase in self.phases:
            for name, rows in phase.rows_before(samples).items():
                total[name] += rows
        return total

    def consumed(self, first: int, stop: int) -> Iterator[tuple[int, int, Sample]]:
        """(step, sample's number, sample) for every sample of steps first .. stop-1, in order.

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
        return (
            (step, i, self.locate(i))
            for step in range(first, stop)
            for i in range(self.samples_before(step), self.samples_before(step + 1))
        )

    def describe(self) -> dict[str, Any]:
        """All that decides which sample comes when and where steps end, as plain values."""
        return {
            "order": ORDER,
            "seed": self.seed,
            "sequence_length": self.batch.sequence_length,
            "sources": {name: {"kind": self.kinds[name]} | asdict(extent) for name, extent in self.extents.items()},
            "phases": [
                {"end": phase.stop, "ratio": dict(zip(phase.names, phase.ratio, strict=True))} for phase in self.phases
            ],
            "stages": [list(stage) for stage in self.batch.stages()],
        }

    @property
    def fingerprint(self) -> str:
        """Equal for plans with the same samples in the same steps."""
        text = json.dumps(self.describe(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def differs(self, recorded: Mapping[str, Any], *, samples: int, step: int) -> str | None:
        """What of the first samples and steps was planned otherwise, as a sentence; None if nothing was.

        Args:
            recorded: `describe()` of the plan that the run was trained with so far, read back from JSON.
            samples: that were trained.
            step: steps that were trained.
        """
        return difference(self.describe(), recorded, samples=samples, step=step)

    @cached_property
    def _firsts(self) -> list[int]:
        return [phase.first for phase in self.phases]


# One for each source and epoch that is being read; asking again costs a lookup.
@lru_cache(maxsize=256)
def _permutation(rows: int, seed: int, source: str, epoch: int) -> Permutation:
    return Permutation(rows, (seed, source, epoch, "order"))


@lru_cache(maxsize=256)
def _cut(size: int, seed: int, source: str, epoch: int) -> int:
    return int.from_bytes(keyed_hash(seed, source, epoch, "cut")) % size
