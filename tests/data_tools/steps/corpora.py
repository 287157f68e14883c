"""Small corpora with a tokenizer of their own, and neighbours made by hand, for tests of what comes after."""

import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, CorpusWriter, token_dtype
from data_tools.corpus.manifest import run_step
from data_tools.text.readers import Document, write_documents
from data_tools.text.tokenizer import MODEL, Tokenizer
from data_tools.text.training import train_tokenizer

WORDS = [
    "table", "row", "index", "key", "value", "page", "vacuum", "commit", "begin", "select", "insert", "update", "from",
    "where", "join", "column", "null", "query", "plan", "cache", "lock", "read", "write", "file", "disk", "tree",
]  # fmt: skip


@cache
def tokenizer(vocabulary: int = 330) -> Path:
    """A tokenizer folder, the same for all tests of a process."""
    folder = Path(mkdtemp(prefix="tokenizer-"))
    texts = (" ".join(WORDS[(i * 7 + j * (i % 5 + 1)) % len(WORDS)] for j in range(40)) for i in range(40))
    source = folder / "documents.jsonl.zst"
    write_documents(source, (Document(str(i), text, "test", "none") for i, text in enumerate(texts)))
    train_tokenizer([source], folder / "tokenizer", vocabulary=vocabulary)
    return folder / "tokenizer"


def corpus_of(texts: list[str], folder: Path) -> Path:
    """A corpus folder of these documents, which holds its tokenizer."""
    loaded = Tokenizer.load(tokenizer())

    def build(scratch: Path) -> dict[str, int]:
        shutil.copy(tokenizer() / MODEL, scratch / MODEL)
        with CorpusWriter(scratch / CORPUS_PREFIX, token_dtype(loaded.vocabulary)) as writer:
            for ids in loaded.encode(texts):
                writer.add(np.array([*ids, loaded.eos]))
        return {"documents": writer.documents, "tokens": writer.tokens}

    settings = {"vocabulary": loaded.vocabulary, "eos": loaded.eos}
    run_step(folder, step="tokenize", inputs={}, settings=settings, build=build)
    return folder


def neighbors_of(rows: list[list[tuple[int, float]]], k: int, folder: Path, **settings: str) -> Path:
    """A folder of neighbours: (document, similarity) for each document, nearest first."""
    ids, similarities = np.full((len(rows), k), -1, dtype=np.int64), np.full((len(rows), k), -np.inf, dtype=np.float32)
    for number, row in enumerate(rows):
        for place, (other, similarity) in enumerate(row):
            ids[number, place], similarities[number, place] = other, similarity

    def build(scratch: Path) -> dict[str, int]:
        np.save(scratch / "ids.npy", ids)
        np.save(scratch / "similarities.npy", similarities)
        return {"documents": len(rows)}

    run_step(folder, step="neighbors", inputs={}, settings=settings, build=build)
    return folder
