"""The `knowledge:` section of a run: which facts are shown to it, when, and how often they are asked for.

Steps are counted from 0: a passage shown at step t stands in the batch of update t. Everything here follows from the
file alone; whether the facts hold what is asked of them is checked where they are read (data/injection.py).
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, Strict, model_validator
from pydantic.dataclasses import dataclass

from megatron_ext.config.fields import STRICT, AnyPath, UnfitError
from megatron_ext.config.training import BatchConfig

RANGE = re.compile(r"\s*(\d{1,7})\s*(?:-\s*(\d{1,7})\s*)?")
"""One number or one range of passages; ten million of them are more than a run has room for."""

ORIGINAL = 0
"""The version of a passage that is its own text; version n is its n-th paraphrase."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ShowingSteps:
    """When passages are shown: `times` steps, `every` so many, from `first` on; or those of a list."""

    first: NonNegativeInt = 0
    every: PositiveInt = 100
    times: PositiveInt = 10
    at: Annotated[tuple[NonNegativeInt, ...], Strict(False)] | None = None
    """The steps themselves, rising, in place of the other three. In a file a bare list is meant for these."""

    @property
    def steps(self) -> tuple[int, ...]:
        """All of them, rising."""
        if self.at is not None:
            return self.at
        return tuple(range(self.first, self.first + self.every * self.times, self.every))

    @model_validator(mode="after")
    def _rise(self) -> Self:
        spaced = (self.first, self.every, self.times)
        if self.at is not None and spaced != (0, 100, 10):
            raise UnfitError(
                found="a list of steps beside first, every or times", expected="one or the other",
                fix="Leave the list out, or the others.",
            )  # fmt: skip
        if self.at is not None and (not self.at or any(later <= earlier for earlier, later in pairwise(self.at))):
            raise UnfitError(
                found=f"steps {list(self.at)}", expected="at least one step, and each after the one before",
                fix="Sort the steps and name each once.",
            )  # fmt: skip
        return self


def _bare_list_is_the_steps(value: Any) -> Any:
    return {"at": value} if isinstance(value, list | tuple) else value


def _bare_number_is_a_range(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


PassageRanges = Annotated[str, BeforeValidator(_bare_number_is_a_range)]
"""Passages by number, counted from 0: `0-39`, or `0-39, 50, 60-69`; both ends belong to a range."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GroupsConfig:
    """Which passages are shown in which way. One that is in no group is never shown, and still probed."""

    paraphrased: PassageRanges | None = None
    """The passage itself first, then its paraphrases one after the other."""
    duplicated: PassageRanges | None = None
    """The passage itself each time."""
    once: PassageRanges | None = None
    """The passage itself, at the first step only."""

    def ranges(self) -> Iterator[tuple[str, range]]:
        """(group, passages) of each range, in the order of the file."""
        named = {"paraphrased": self.paraphrased, "duplicated": self.duplicated, "once": self.once}
        for name, written in named.items():
            for part in written.split(",") if written is not None else ():
                yield name, _range(name, part)

    @model_validator(mode="after")
    def _name_a_passage_once(self) -> Self:
        by_start = sorted(self.ranges(), key=lambda named: named[1].start)
        for (one, earlier), (other, later) in pairwise(by_start):
            if later.start < earlier.stop:
                raise UnfitError(
                    found=f"passage {later.start} in {one} and again in {other}",
                    expected="each passage in one group at most, named once",
                    fix=f"Take it out of groups.{other}.",
                )
        return self


def _range(group: str, text: str) -> range:
    matched = RANGE.fullmatch(text)
    first, last = (int(matched[1]), int(matched[2] or matched[1])) if matched else (0, -1)
    if last < first:
        raise UnfitError(
            found=f"'{text.strip()}' in groups.{group}", expected="numbers and rising ranges of them, such as 0-39, 50",
            fix="Write first and last passage of each range, counted from 0.",
        )  # fmt: skip
    return range(first, last + 1)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ProbeConfig:
    """How often all probes are measured, with the weights before the update of a step."""

    every: PositiveInt = 1
    """Steps between measurements; whatever it is, also at each step that shows something, and after the last one."""
    batch: PositiveInt | None = None
    """Probes in one forward pass of a rank. None: as many as have 4,096 tokens, or those of a micro batch if fewer."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class KnowledgeConfig:
    """Facts that a run is shown at planned steps, and asked for as it trains."""

    facts: AnyPath
    """Passages, paraphrases and probes: a JSON list, or JSON lines, in the layout that docs/knowledge.md gives."""
    steps: Annotated[ShowingSteps, BeforeValidator(_bare_list_is_the_steps)] = Field(default_factory=ShowingSteps)
    groups: GroupsConfig = Field(default_factory=GroupsConfig)
    probe: ProbeConfig = Field(default_factory=ProbeConfig)

    @property
    def group_of(self) -> dict[int, str]:
        """Passage -> its group, of those that are shown; by number."""
        named = {passage: group for group, passages in self.groups.ranges() for passage in passages}
        return dict(sorted(named.items()))

    @property
    def shown(self) -> dict[int, tuple[int, ...]]:
        """Passage -> the steps at which it is shown."""
        steps = self.steps.steps
        return {passage: steps[:1] if group == "once" else steps for passage, group in self.group_of.items()}

    @property
    def showings(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """Step -> (passage, version) of all that it shows, by number of the passage; steps rise."""
        groups = self.group_of
        found = {}
        for time, step in enumerate(self.steps.steps):
            version = {"paraphrased": time, "duplicated": ORIGINAL, "once": ORIGINAL}
            present = ((p, version[group]) for p, group in groups.items() if group != "once" or time == 0)
            found[step] = tuple(present)
        return {step: shown for step, shown in found.items() if shown}


def require_room(knowledge: KnowledgeConfig, batch: BatchConfig, samples: int) -> None:
    """Refuse a schedule that the run ends before, or a step with more passages than rows: each takes a row of its own.

    Raises:
        UnfitError: it is one.
    """
    steps = batch.steps(samples)
    for step, shown in knowledge.showings.items():
        if step >= steps:
            raise UnfitError(
                found=f"knowledge.steps up to {max(knowledge.showings)}",
                expected=f"steps below {steps}, the steps of this run (the first is 0)",
                fix="Show the facts earlier or fewer times, or give the run more tokens.",
            )
        rows = min(batch.first_sample(step + 1), samples) - batch.first_sample(step)
        if len(shown) > rows:
            raise UnfitError(
                found=f"{len(shown)} passages at step {step} (knowledge.groups)",
                expected=f"at most {rows}, the rows of that step's batch: each passage takes a row of its own",
                fix="Show fewer passages, or raise batch.global_batch.",
            )
