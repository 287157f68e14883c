"""Which documents of a corpus synthesis starts from, and in which order: dealt to the parts of a ledger.

The order is a keyed shuffle of the corpus, so that whatever is done of it is a uniform sample, and costs no memory. A
recipe that draws its seeds takes them uniformly, with replacement.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.names import Names
from data_tools.errors import InputError
from data_tools.permutation import Permutation, keyed_hash
from data_tools.synthesis.recipe import Seed
from data_tools.text.tokenizer import Tokenizer


class Seeds:
    """The seeds of a run."""

    def __init__(self, corpus: Path, *, draws: bool, limit: int | None, seed: int):
        """Open the corpus.

        Args:
            corpus: corpus folder.
            draws: whether documents are drawn with replacement; otherwise each is taken once.
            limit: seeds in all; None takes every document once, or draws without end.
            seed: of the order.

        Raises:
            InputError: the corpus has fewer documents than the limit, or none.
        """
        self._corpus, self._names = IndexedCorpus(corpus / CORPUS_PREFIX), Names(corpus / CORPUS_PREFIX)
        self.tokenizer = Tokenizer.load(corpus)
        documents = len(self._corpus)
        if not documents or (limit is not None and not draws and limit > documents):
            raise InputError(
                where=str(corpus), found=f"{documents:,} documents", expected=f"at least {limit or 1:,}",
                fix="Name fewer --documents, or another corpus.",
            )  # fmt: skip
        self._draws, self._seed = draws, seed
        self._order = Permutation(documents, ("synthesis", seed))
        self.limit = limit if limit is not None or draws else documents
        """Seeds in all; None: no end."""

    def of_part(self, part: int, parts: int) -> Iterator[Seed]:
        """The seeds of one part, in order."""
        numbers = count(part, parts) if self.limit is None else range(part, self.limit, parts)
        for draw in numbers:
            yield self._at(draw)

    def _at(self, draw: int) -> Seed:
        documents = len(self._corpus)
        if self._draws:
            number = int.from_bytes(keyed_hash("drawn", self._seed, draw), "little") % documents
        else:
            number, draw = self._order.at(draw), 0
        ids = tuple(self._corpus.document(number).tolist())
        return Seed(number, self._names[number], ids, draw, self.tokenizer)
