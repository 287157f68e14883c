"""Which samples of a run begin with a passage that is injected: a function of the config alone.

The passages of a step take the first rows of its global batch, one each, by their number. So neither layout nor micro
batch moves one, and a step's passages share out over its sources as its rows do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from megatron_ext.config import RunConfig


@dataclass(frozen=True, slots=True)
class Showing:
    """One passage in one sample."""

    step: int
    passage: int
    version: int
    """0: its own text; n: its n-th paraphrase."""


def showings_of(config: RunConfig) -> dict[int, Showing]:
    """Sample -> what it begins with, of all samples that begin with a passage."""
    found = {}
    for step, shown in (config.knowledge.showings if config.knowledge else {}).items():
        first = config.batch.first_sample(step)
        found |= {first + row: Showing(step, *passage) for row, passage in enumerate(shown)}
    return found


def describe(showings: Mapping[int, Showing]) -> dict[str, str]:
    """Step -> its passages, as short as a file for people should have it: `0-39 paraphrase 1, 40-79`."""
    by_step: dict[int, list[Showing]] = {}
    for showing in showings.values():
        by_step.setdefault(showing.step, []).append(showing)
    return {str(step): ", ".join(_ranges(by_step[step])) for step in sorted(by_step)}


def _ranges(showings: Sequence[Showing]) -> list[str]:
    """Runs of neighbouring passages in one version."""
    named = []
    in_order = enumerate(sorted(showings, key=lambda showing: showing.passage))
    for (_, version), run in groupby(in_order, key=lambda placed: (placed[1].passage - placed[0], placed[1].version)):
        passages = [showing.passage for _, showing in run]
        ends = str(passages[0]) if len(passages) == 1 else f"{passages[0]}-{passages[-1]}"
        named.append(f"{ends} paraphrase {version}" if version else ends)
    return named
