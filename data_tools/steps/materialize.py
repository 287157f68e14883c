"""Views and pairs written out as a plain corpus, for trainers that read nothing but `.bin` and `.idx`.

The tokens are those that our own sources read, byte by byte. A megadoc, or a pair, becomes one document, in which the
end tokens of its members stay. Of pairs `corpus.loss_mask.bin` says which tokens are trained as labels: a byte for each
token, 1 for those of d2 and its end token.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.assembly import PartWriter, assemble
from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus, file_of
from data_tools.corpus.names import Names
from data_tools.corpus.origins import read_origins
from data_tools.corpus.views import REAL, View
from data_tools.files import SHARDS
from data_tools.text.tokenizer import Tokenizer

TOKENS_AT_ONCE = 1 << 22
PAIRS_AT_ONCE = 1 << 12


def materialize_view(scratch: Path) -> dict[str, Any]:
    """Write a corpus of the view in a folder into the same folder; returns counts."""
    view = View(scratch)
    part = scratch / SHARDS / "part"
    part.mkdir(parents=True, exist_ok=True)
    name_of = _Named(view)
    with PartWriter(part, view.corpora[REAL].dtype) as writer:
        for first, stop in _ranges(view):
            begin, end = view.span(first)[0], view.span(stop - 1)[1]
            lengths = np.array([np.diff(view.span(group))[0] for group in range(first, stop)])
            writer.add(view.tokens(begin, end), lengths, [name_of(group) for group in range(first, stop)])
    return _assembled(part, scratch, view.corpora[REAL], kind="megadoc")


def materialize_pairs(corpus: Path, pairs: np.ndarray, scratch: Path) -> dict[str, Any]:
    """Write a corpus of pairs, `d1 EOS d2 EOS` each, and its loss mask into a folder; returns counts.

    Args:
        corpus: that the pairs are of.
        pairs: rows with `d1` and `d2`.
        scratch: the folder.
    """
    opened, names = IndexedCorpus(corpus / CORPUS_PREFIX), Names(corpus / CORPUS_PREFIX)
    part = scratch / SHARDS / "part"
    part.mkdir(parents=True, exist_ok=True)
    mask = file_of(scratch / CORPUS_PREFIX, ".loss_mask.bin")
    with PartWriter(part, opened.dtype) as writer, mask.open("wb") as masks:
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            rows = pairs[start : start + PAIRS_AT_ONCE]
            documents = np.stack([rows["d1"], rows["d2"]], axis=1).astype(np.int64)
            lengths = opened.lengths[documents].astype(np.int64)
            tokens = np.concatenate([opened.document(int(number)) for number in documents.ravel()])
            labels = [names[int(d1)] + _joint(names[int(d1)]) + f"pair-{names[int(d2)]}" for d1, d2 in documents]
            writer.add(tokens, lengths.sum(axis=1), labels)
            masks.write(np.repeat(np.tile(np.array([0, 1], np.uint8), len(rows)), lengths.ravel()))
    return _assembled(part, scratch, opened, kind="pair")


class _Named:
    """Names of groups: that of the real document in it, or that its first member was made of."""

    def __init__(self, view: View):
        self._view = view
        prefixes = [corpus.prefix for corpus in view.corpora]
        self._names = [Names(prefix) for prefix in prefixes]
        self._origins = [None if number == REAL else read_origins(path) for number, path in enumerate(prefixes)]

    def __call__(self, group: int) -> str:
        members = self._view.members(group)
        if len(members) == 1:
            return self._names[members[0]["corpus"]][int(members[0]["document"])]
        first = members[0]
        origins = self._origins[first["corpus"]]
        real = int(first["document"] if origins is None else origins[first["document"]]["document"])
        name = self._names[REAL][real]
        return f"{name}{_joint(name)}megadoc"


def _joint(name: str) -> str:
    """Between a name and what is added to it, so that it stays a part of its page."""
    return "." if "#" in name else "#"


def _ranges(view: View) -> Iterator[tuple[int, int]]:
    """Groups of about TOKENS_AT_ONCE tokens: first, and one past the last."""
    first = 0
    for group in range(len(view)):
        if view.span(group)[1] - view.span(first)[0] >= TOKENS_AT_ONCE or group + 1 == len(view):
            yield first, group + 1
            first = group + 1


def _assembled(part: Path, scratch: Path, like: IndexedCorpus, *, kind: str) -> dict[str, Any]:
    counts = assemble([part], scratch, dtype=like.dtype, kind=kind, allow_repeated_names=True)
    Tokenizer.load(like.prefix.parent).copy_to(scratch)
    return {f"written_{name}": counts[name] for name in ("documents", "tokens")}
