"""Repetition, the papers' simplest baseline: the documents as they are, as often as is asked. No model is needed."""

from dataclasses import dataclass
from typing import ClassVar

from data_tools.synthesis.recipe import Draft, Seed, Steps, at_least_one


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """Asks nothing."""

    name: ClassVar[str] = "repeat"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "repeat"
    draws: ClassVar[bool] = False

    variants: int = 1
    """Copies of each document."""

    def __post_init__(self):
        at_least_one(variants=self.variants)

    def write(self, seed: Seed) -> Steps:
        yield from ()
        return [Draft(text=seed.text)] * self.variants
