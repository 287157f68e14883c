"""Corpora whose quality is known, for tests: a real one, and a synthetic one made of it by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_tools.corpus.assembly import PartWriter, assemble
from data_tools.corpus.indexed import CORPUS_PREFIX, token_dtype
from data_tools.corpus.manifest import run_step
from data_tools.corpus.origins import ORIGIN, write_origins
from data_tools.text.tokenizer import Tokenizer
from tests.data_tools.steps.corpora import tokenizer


def corpus_of(folder: Path, texts: Sequence[str], *, made_of: tuple[Path, Sequence[int]] | None = None) -> Path:
    """A corpus of these documents.

    Args:
        folder: to make.
        texts: of the documents, named `page/0#0` and so on.
        made_of: of a synthetic corpus, its source and the number of each document's own there.
    """
    loaded = Tokenizer.load(tokenizer())

    def build(scratch: Path) -> dict[str, int]:
        part = scratch / "part"
        part.mkdir()
        with PartWriter(part, token_dtype(loaded.vocabulary)) as writer:
            for number, text in enumerate(texts):
                ids = np.array([*loaded.encode([text])[0], loaded.eos])
                writer.add(ids, np.array([len(ids)]), [f"page/{number}#0"])
        kind = "synthetic" if made_of else "real"
        counts = assemble(
            [part], scratch, dtype=token_dtype(loaded.vocabulary), kind=kind, allow_repeated_names=False
        )  # fmt: skip
        if made_of:
            np.array([(number, 0) for number in made_of[1]], dtype=ORIGIN).tofile(scratch / "origins.bin")
            write_origins(scratch / CORPUS_PREFIX, [scratch / "origins.bin"])
            (scratch / "origins.bin").unlink()
        for left in part.iterdir():
            left.unlink()
        part.rmdir()
        loaded.copy_to(scratch)
        return counts

    settings = {"vocabulary": loaded.vocabulary, "eos": loaded.eos}
    inputs = {"corpus": made_of[0]} if made_of else {}
    run_step(folder, step="synth" if made_of else "tokenize", inputs=inputs, settings=settings, build=build)
    return folder


def sentence(number: int, words: int = 40) -> str:
    """A text of words that no other number's has, none of them twice."""
    return " ".join(spelled(number * 1000 + place) for place in range(words))


def spelled(number: int) -> str:
    """A number as letters, since digits don't count as words."""
    return "w" + "".join(chr(ord("a") + int(digit)) for digit in str(number))
