"""The documents of a corpus as texts: by number, with their names, and with what each was made from.

A synthetic document's source is a document of the corpus that it was made of. A real document's is its page, whose
documents are parts of one text. Foreign corpora have neither, nor names; their documents go by their numbers.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from data_tools.corpus.groups import read_groups
from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus, file_of
from data_tools.corpus.manifest import read_manifest
from data_tools.corpus.names import Names
from data_tools.corpus.origins import read_origins
from data_tools.errors import InputError
from data_tools.text.tokenizer import Tokenizer

KEPT_OPEN = 8
"""Corpora that a process keeps open between shards."""


class Documents:
    """A corpus, opened for its texts."""

    def __init__(self, folder: Path):
        """Open it.

        Raises:
            InputError: there is no corpus, or it has no tokenizer.
        """
        prefix = folder / CORPUS_PREFIX
        self.corpus = IndexedCorpus(prefix)
        self.tokenizer = Tokenizer.load(folder, threads=False)
        self._names = Names(prefix) if file_of(prefix, ".names.npy").is_file() else None
        self.is_synthetic = file_of(prefix, ".origins.npy").is_file()
        self.sources = self._sources(prefix)
        """Number of each document's source; None where nothing says it."""

    def __len__(self) -> int:
        return len(self.corpus)

    @property
    def has_names(self) -> bool:
        return self._names is not None

    def name(self, number: int) -> str:
        return f"document-{number}" if self._names is None else self._names[number]

    def text(self, number: int) -> str:
        """Without the end-of-document token."""
        return self.tokenizer.decode(self.corpus.document(number)[:-1].tolist())

    def _sources(self, prefix: Path) -> np.ndarray | None:
        if self.is_synthetic:
            return read_origins(prefix)["document"]
        return read_groups(prefix)["group"] if file_of(prefix, ".groups.npy").is_file() else None


@lru_cache(maxsize=KEPT_OPEN)
def opened(folder: Path) -> Documents:
    """The corpus; opened once in a process, since its tokenizer takes a while to load."""
    return Documents(folder)


def require_source(corpus: Path, source: Path) -> None:
    """See that a corpus was made of another one.

    Raises:
        InputError: it was not, or of another version of it.
    """
    if not opened(corpus).is_synthetic:
        raise InputError(
            where=str(corpus), found="documents that were not made of others", expected="a synthetic corpus",
            fix="Leave --source out: nothing is compared with a source there.",
        )  # fmt: skip
    made_of = read_manifest(corpus).inputs.get("corpus", "another corpus")
    if (found := read_manifest(source).fingerprint) != made_of:
        raise InputError(
            where=f"--source {source}", found=f"a corpus of fingerprint {found}",
            expected=f"{made_of}, which {corpus} was made of", fix="Name the corpus that it was synthesized from.",
        )  # fmt: skip
