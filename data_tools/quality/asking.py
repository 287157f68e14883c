"""A recipe asked about a uniform sample of a corpus, through the driver and a ledger: what was answered stays answered.

The sample is the beginning of a keyed shuffle, so a larger one holds a smaller one, and asks only for the rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from data_tools.errors import InputError
from data_tools.quality.documents import opened
from data_tools.synthesis.asking import drafts_of
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.recipe import Draft, Recipe, Seed
from data_tools.synthesis.seeds import Seeds


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Who is asked about what: a sample of a corpus."""

    corpus: Path
    engine: EngineChoice
    sample: int
    """Documents; of a smaller corpus, all."""
    seed: int
    ledger: Path

    @cached_property
    def model(self) -> tuple[str, str]:
        """Name and hash of the model."""
        return self.engine.generator()

    def answers(
        self, recipe: Recipe, progress: Callable[[int, int], None] | None = None
    ) -> Iterator[tuple[Seed, list[Draft]]]:
        """Each document of the sample with what the recipe made of the answers; asks for what is not there yet.

        Raises:
            InputError: documents without names can't be asked about.
            EndedEarly: the engine failed or gave requests up; what was answered is kept.
        """
        _require_names(self.corpus)
        limit = min(self.sample, len(opened(self.corpus)))
        seeds = Seeds(self.corpus, draws=False, limit=limit, seed=self.seed)
        return drafts_of(
            recipe, seeds, expected=limit, engine=self.engine, ledger=self.ledger, progress=progress,
        )  # fmt: skip


def source_text(corpus: Path, source: Path, number: int) -> str:
    """Text of what a synthetic document was made of."""
    sources = opened(corpus).sources
    assert sources is not None, "a corpus with origins was asked for"
    return opened(source).text(int(sources[number]))


def _require_names(corpus: Path) -> None:
    if not opened(corpus).has_names:
        raise InputError(
            where=str(corpus), found="no names of documents", expected="names, by which answers are told",
            fix="Write the corpus with `megatron-ext data tokenize` or `synth`; rules alone need no names.",
        )  # fmt: skip
