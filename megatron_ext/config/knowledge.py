"""Facts that a run is shown at known steps, and how often it is asked for them."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

from megatron_ext.config.fields import STRICT, AnyPath, UnfitError

RANGE = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ShowingsConfig:
    """Steps at which passages are shown, evenly spaced."""

    first: NonNegativeInt = 0
    every: PositiveInt = 100
    times: PositiveInt = 10


def _listed(value: Any) -> Any:
    """Ranges of passages, such as `0-39, 50`, or their numbers; to numbers."""
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    parts = [RANGE.fullmatch(part.strip()) for part in value.split(",")]
    if not all(parts):
        raise UnfitError(found=repr(value), expected="ranges of passages", fix="Write them as 0-39, 50.")
    return tuple(n for part in parts if part for n in range(int(part[1]), int(part[2] or part[1]) + 1))


Passages = Annotated[tuple[NonNegativeInt, ...], BeforeValidator(_listed)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GroupsConfig:
    """Passages by number. Those that are not named are never shown, but still asked for."""

    paraphrased: Passages = ()
    """Shown as they are first, then one paraphrase after the other."""
    duplicated: Passages = ()
    """Shown as they are each time."""
    once: Passages = ()
    """Shown at the first step only."""

    def __iter__(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield from (("paraphrased", self.paraphrased), ("duplicated", self.duplicated), ("once", self.once))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ProbeConfig:
    """When the model is asked."""

    every: PositiveInt = 1
    """Steps between measurements. Also measured: wherever something is shown, and after the last step."""
    batch: PositiveInt | None = None
    """Most probes in one forward pass. None: as many as have 4,096 tokens, or those of a training micro batch."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class KnowledgeConfig:
    """Facts, when they are shown, and when the model is asked for them."""

    facts: AnyPath
    """Facts file."""
    steps: ShowingsConfig | tuple[NonNegativeInt, ...] = Field(default_factory=ShowingsConfig)
    """Counted from 0: shown in the batch of that update."""
    groups: GroupsConfig = Field(default_factory=GroupsConfig)
    probe: ProbeConfig = Field(default_factory=ProbeConfig)

    @property
    def shown_at(self) -> tuple[int, ...]:
        """The steps of the schedule."""
        if isinstance(self.steps, tuple):
            return self.steps
        return tuple(self.steps.first + self.steps.every * time for time in range(self.steps.times))

    @property
    def shown(self) -> dict[int, tuple[int, ...]]:
        """Passage -> steps at which it is shown."""
        steps = self.shown_at
        return {
            passage: steps[:1] if name == "once" else steps for name, passages in self.groups for passage in passages
        }
