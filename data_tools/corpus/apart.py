"""Whether corpora share a page: what is held out may be in no corpus that is trained on, nor what was made of it.

Names are read as bytes, a block at a time, and only pages of the held-out corpus are kept: 8 bytes for each.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, file_of
from data_tools.errors import InputError

BLOCK = 1 << 17
"""Names at a time."""

ENOUGH = 1000
"""Shared pages that are looked at by name."""


def require_apart(heldout: Path, others: Iterable[Path]) -> None:
    """See that no document of a held-out page is in another corpus; a page is what stands before `#` in a name.

    Args:
        heldout: corpus folder.
        others: corpus folders.

    Raises:
        InputError: a page is in both; with its name, and how many documents of it and others like it there are.
    """
    keys = np.unique(np.concatenate([np.empty(0, np.uint64), *(_keys(block) for block in _pages(heldout))]))
    for folder in others:
        shared: set[bytes] = set()
        count = 0
        for block in _pages(folder):
            hits = np.flatnonzero(np.isin(_keys(block), keys))
            count += len(hits)
            if len(shared) < ENOUGH:
                shared |= {block[hit] for hit in hits.tolist()}
        # Keys of 64 bits may meet by chance: names decide.
        if shared and (page := next((page for block in _pages(heldout) for page in block if page in shared), None)):
            raise InputError(
                where=str(folder),
                found=f"{count} documents of pages that are held out in {heldout}, such as {page.decode()!r}",
                expected="no page on both sides, nor anything that was made of one",
                fix="Split the documents by `megatron-ext data split`, and make every corpus of its training side.",
            )  # fmt: skip


def _pages(folder: Path) -> Iterator[list[bytes]]:
    """The page of each document, a block of documents at a time."""
    prefix = folder / CORPUS_PREFIX
    table, names = file_of(prefix, ".names.npy"), file_of(prefix, ".names.bin")
    if not table.exists():
        raise InputError(
            where=str(table), found="no such file", expected="names of the documents, which say their pages",
            fix="Write the corpus with `megatron-ext data tokenize`.",
        )  # fmt: skip
    starts = np.load(table, mmap_mode="r")
    with names.open("rb") as file:
        for first in range(0, len(starts) - 1, BLOCK):
            ends = np.asarray(starts[first : first + BLOCK + 1])
            data = file.read(int(ends[-1] - ends[0]))
            places = (ends - ends[0]).tolist()
            yield [data[a:b].partition(b"#")[0] for a, b in zip(places, places[1:], strict=False)]


def _keys(pages: list[bytes]) -> np.ndarray:
    """64 bits of each; documents of one page stand together as a rule, so each is hashed once in a row."""
    digests, last, digest = [], None, b""
    for page in pages:
        if page != last:
            last, digest = page, hashlib.blake2b(page, digest_size=8).digest()
        digests.append(digest)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)
