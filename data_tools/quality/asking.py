"""A recipe asked about a uniform sample of a corpus, through the driver and a ledger: what was answered stays answered.

The sample is the beginning of a keyed shuffle, so a larger one holds a smaller one, and asks only for the rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

from data_tools.errors import EndedEarly, InputError
from data_tools.quality.documents import opened
from data_tools.synthesis.driver import Driver
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.ledger import Ledger, LedgerPart
from data_tools.synthesis.recipe import Draft, Recipe, Seed
from data_tools.synthesis.seeds import Seeds
from data_tools.synthesis.writing import Writing


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
        ledger = Ledger(self.ledger, expected=limit)
        show, done = progress or (lambda finished, total: None), count(1)

        def count_on(finished: int) -> None:
            for _ in range(finished):
                show(next(done), limit)

        _, content = self.model
        driver = Driver(recipe, content, self.engine.open, lambda writing: 0, count_on)
        for _ in driver.ask(ledger, range(ledger.parts), seeds, None):
            pass
        for part in range(ledger.parts):
            with LedgerPart(ledger.file(part), writing=False) as kept:
                for seed in seeds.of_part(part, ledger.parts):
                    writing = Writing(recipe, seed, content)
                    if writing.advance(kept.get):
                        raise EndedEarly(f"an answer about document {seed.name} has gone: run the same command again.")
                    yield seed, writing.drafts or []


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
