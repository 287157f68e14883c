"""For tests of recipes: seed documents of text, and answers given by hand."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from data_tools.synthesis.recipe import Draft, Recipe, Seed
from data_tools.synthesis.requests import Answer, Ask
from data_tools.text.tokenizer import Tokenizer
from tests.support import make_corpus


@cache
def tokenizer() -> Tokenizer:
    folder = Path(mkdtemp())
    make_corpus(folder)
    return Tokenizer.load(folder / "tokenizer")


def seed_of(text: str, *, draw: int = 0) -> Seed:
    loaded = tokenizer()
    ids = (*loaded.encode([text])[0], loaded.eos)
    return Seed(number=0, name="manual/0#0", ids=ids, draw=draw, tokenizer=loaded)


def written(*texts: str, finish: str = "stop") -> list[Answer]:
    return [Answer(text, finish) for text in texts]


def play(recipe: Recipe, seed: Seed, *rounds: list[Answer]) -> tuple[list[list[Ask]], list[Draft]]:
    """What a recipe asks, round by round, when it is answered so, and the documents that it makes."""
    steps, asked = recipe.write(seed), []
    try:
        asks = next(steps)
        for answers in rounds:
            asked.append(asks)
            asks = steps.send(answers)
    except StopIteration as end:
        return asked, end.value
    raise AssertionError(f"the recipe asks on after {len(rounds)} rounds: {asks}")
