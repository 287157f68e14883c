"""The sample plan: which tokens a run trains on, and in what order.

`locate(i)` says for global sample i: which source, which epoch, and where in it. It is a pure function of the config
and the extents of the sources. Nothing is shuffled in memory or cached on disk, so a plan for 1T tokens costs what a
plan for 1M tokens costs.

Promises, each with a test of the same words in tests/megatron_ext/plan:
  - an epoch covers each window once, and no token twice;
  - extending the budget of a run with one source, or of all sources in proportion, or by a new phase, changes no
    planned sample;
  - a changed mixture as a new phase repeats and skips nothing in any source;
  - layout and micro batch change no sample, the global batch and its ramp only where a step ends;
  - a source with max_epochs 1 is never read twice.

A *sample* is one row of `sequence_length` tokens; a *window* is such a row cut from a corpus. The corpus is a ring:
the cut between windows moves from epoch to epoch, so no token stands at the edge of its window for ever. Pairs are
packed into rows (packing.py). Tokens are read in data/sources.py; budgets are settled, and refused, in budget.py.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from data_tools.errors import InputError
from data_tools.permutation import Permutation, keyed_hash
from megatron_ext.config import BatchConfig, RunConfig
from megatron_ext.plan.budget import settle
from megatron_ext.plan.extent import Extent
from megatron_ext.plan.phases import Phase, phases_of
from megatron_ext.plan.resume import difference
from megatron_ext.plan.showings import Showing, describe, showings_of

ORDER = 2
"""Version of the order, part of every description: raise it with any change of what `locate` or `row` answers."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Where one row comes from."""

    source: str
    epoch: int
    """How often the source had been read through before, counted from 0."""
    start: int
    """Windows: the token the row begins with. It ends after sequence_length more, for the last label, and goes
    round the end of the corpus. Pairs: the number of the packed row."""


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """One source of a run."""

    kind: str
    extent: Extent
    order: str = "shuffled"
    members: str = "fixed"

    def describe(self) -> dict[str, Any]:
        """What decides on the order of its samples; defaults that came later are left out, for plans written before."""
        later = {"order": (self.order, "shuffled"), "members": (self.members, "fixed")}
        chosen = {name: value for name, (value, default) in later.items() if value != default}
        return {"kind": self.kind, **asdict(self.extent), **chosen}


@dataclass(frozen=True, kw_only=True)
class SamplePlan:
    """The order of all samples of a run."""

    seed: int
    batch: BatchConfig
    sources: Mapping[str, SourcePlan]
    phases: tuple[Phase, ...]
    showings: Mapping[int, Showing] = field(default_factory=dict)
    """Sample -> the passage that is injected at its front, of those that have one."""

    @classmethod
    def of(cls, config: RunConfig, extents: Mapping[str, Extent]) -> "SamplePlan":
        """The plan of a run.

        Args:
            config: the run.
            extents: source name -> what it holds.

        Raises:
            InputError: the corpora are too small for what the run asks of them.
        """
        settle(config, extents)
        sources = {
            name: SourcePlan(source.kind, extents[name], source.order, source.members)
            for name, source in config.sources.items()
        }
        return cls(
            seed=config.seed, batch=config.batch, sources=sources, phases=phases_of(config),
            showings=showings_of(config),
        )  # fmt: skip

    @cached_property
    def samples(self) -> int:
        return self.phases[-1].stop

    @property
    def steps(self) -> int:
        return self.batch.steps(self.samples)

    @cached_property
    def _stops(self) -> tuple[int, ...]:
        return tuple(phase.stop for phase in self.phases)

    def samples_of(self, step: int) -> range:
        """The samples of a step, counted from 0; the last step may have fewer than a global batch."""
        first, stop = (min(self.batch.first_sample(s), self.samples) for s in (step, step + 1))
        return range(first, stop)

    @property
    def rows_per_epoch(self) -> dict[str, int]:
        return {name: source.extent.rows for name, source in self.sources.items()}

    def locate(self, i: int) -> Sample:
        """Sample i of the run, counted from 0; the time it takes does not grow with the run.

        IndexError if the run has no such sample.
        """
        if not 0 <= i < self.samples:
            raise IndexError(f"sample {i} of a plan of {self.samples}")
        name, row = self.phases[bisect_right(self._stops, i)].turn(i)
        source = self.sources[name]
        extent = source.extent
        epoch, place = divmod(row, extent.rows)
        in_order = source.order == "in_order"
        index = place if in_order else _order(self.seed, name, epoch, extent.rows).at(place)
        if source.kind == "pairs":
            return Sample(name, epoch, index)
        cut = _cut(self.seed, name, epoch, extent.size)
        return Sample(name, epoch, (cut + index * self.batch.sequence_length) % extent.size)

    def rows_by_phase(self, i: int) -> list[dict[str, int]]:
        """For each phase the rows that its sources gave before sample i."""
        return [phase.rows_before(i) for phase in self.phases]

    def rows_before(self, i: int) -> dict[str, int]:
        """Source -> rows that it gave before sample i, over all phases."""
        rows = dict.fromkeys(self.sources, 0)
        for phase in self.rows_by_phase(i):
            for name, count in phase.items():
                rows[name] += count
        return rows

    def consumed(self, first: int, stop: int) -> Iterator[tuple[int, int, Sample]]:
        """(step, number of the sample, sample) for every sample of steps first .. stop-1, in order.

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
        return ((step, i, self.locate(i)) for step in range(first, stop) for i in self.samples_of(step))

    def describe(self) -> dict[str, Any]:
        """All that decides which sample comes when and where steps end, as plain values for JSON.

        Equal for plans with the same samples in the same steps: phases that go on as if they were one are one. Injected
        passages are named where there are such.
        """
        phases: list[dict[str, Any]] = []
        first = 0
        for phase in self.phases:
            ratio = dict(zip(phase.names, phase.ratio, strict=True))
            whole_rounds = (phase.first - first) % sum(phase.ratio) == 0  # the turns begin anew after each round
            if phases and phases[-1]["ratio"] == ratio and whole_rounds:
                phases.pop()
            else:
                first = phase.first
            phases.append({"ratio": ratio, "end": phase.stop})
        return {
            "order": ORDER,
            "seed": self.seed,
            "sequence_length": self.batch.sequence_length,
            "sources": {name: source.describe() for name, source in sorted(self.sources.items())},
            "phases": phases,
            "stages": [list(stage) for stage in self.batch.stages()],
            **({"knowledge": describe(self.showings)} if self.showings else {}),
        }

    def agrees(self, recorded: Mapping[str, Any], *, samples: int, step: int) -> str | None:
        """What keeps a run from going on under this plan, as a sentence; None where nothing does.

        Args:
            recorded: what `describe` gave for the plan that the run was trained with so far.
            samples: samples that were trained.
            step: steps that were trained.
        """
        return difference(self.describe(), recorded, samples=samples, step=step)

    @property
    def fingerprint(self) -> str:
        """Equal for plans with the same samples in the same steps."""
        text = json.dumps(self.describe(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


# Of each epoch the keys are hashed once: samples of one step lie in few epochs, and a key takes longer than a sample.
@lru_cache(maxsize=256)
def _order(seed: int, name: str, epoch: int, rows: int) -> Permutation:
    return Permutation(rows, (seed, name, epoch, "order"))


@lru_cache(maxsize=256)
def _cut(seed: int, name: str, epoch: int, size: int) -> int:
    return int.from_bytes(keyed_hash(seed, name, epoch, "cut")) % size
