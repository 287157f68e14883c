"""A recipe asked about some seeds, through the driver and a ledger, with no corpus made of it: what was answered stays.

Judges and question sets ask so; `run.py` is what makes corpora.
"""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from data_tools.errors import EndedEarly
from data_tools.synthesis.driver import Dealt, Driver
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.ledger import Ledger, LedgerPart
from data_tools.synthesis.recipe import Draft, Recipe
from data_tools.synthesis.writing import Writing


def drafts_of(
    recipe: Recipe,
    seeds: Dealt,
    *,
    expected: int,
    engine: EngineChoice,
    ledger: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Any, list[Draft]]]:
    """Each seed with what the recipe made of the answers, part by part; asks first for what is not there yet.

    Args:
        recipe: asks, and makes drafts.
        seeds: what it is asked about.
        expected: how many seeds there are.
        engine: the model, and what runs it. It is opened only if something has to be asked.
        ledger: folder of the answers; it may be shared by many models and recipes.
        progress: called with (seeds done, seeds in all).

    Raises:
        InputError: the model can't be loaded, or the server doesn't have it.
        EndedEarly: the engine failed or gave requests up; what was answered is kept.
    """
    done, generator, answers = count(1), engine.generator()[1], Ledger(ledger, expected=expected)

    def count_on(finished: int) -> None:
        for _ in range(finished):
            number = next(done)
            if progress:
                progress(number, expected)

    for _ in Driver(recipe, generator, engine.open, lambda _writing: 0, count_on).ask(
        answers, range(answers.parts), seeds, None
    ):
        pass
    for part in range(answers.parts):
        with LedgerPart(answers.file(part), writing=False) as kept:
            for seed in seeds.of_part(part, answers.parts):
                writing = Writing(recipe, seed, generator)
                if writing.advance(kept.get):
                    raise EndedEarly("an answer has gone from the ledger: run the same command again to ask for it.")
                yield seed, writing.drafts or []
