"""Which pairs of documents share a run of tokens: exact, and without a Python object for a token or a run.

Every run of tokens (a shingle) is given a 64-bit hash from running sums, so that a hash costs a few operations,
however long the run. A table says at once of most shingles of d2 that no d1 holds them. What passes is joined
by hash, and at equal hashes the tokens are compared: a collision costs time, and never a pair.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

BASE = 0x9E3779B97F4A7C15
"""Odd, so that it has an inverse modulo 2^64."""
SPREAD = 0xD6E8FEB86659FD93
"""Carries every token of a shingle into the upper bits of its hash, which choose the place in the table."""
ENTRIES_FOR_EACH = 64
"""Of the table for each shingle in it: at most one stranger in so many passes."""

Hashes = Callable[[np.ndarray, int], np.ndarray]
"""hashes(tokens, size): uint64 of every run of `size` tokens, shape (tokens - size + 1,); equal for equal runs."""


def rolling_hashes(tokens: np.ndarray, size: int) -> np.ndarray:
    """Hash of each run of `size` tokens.

        h(i) = SPREAD * (S(i + size) - S(i)) / BASE^i,   S(i) = sum of tokens(j) * BASE^j over j < i   (modulo 2^64)
    """
    powers, inverses = _powers(1 << (len(tokens) - 1).bit_length())
    sums = np.empty(len(tokens) + 1, dtype=np.uint64)
    sums[0] = 0
    products = tokens.astype(np.uint64)
    products *= powers[: len(tokens)]
    np.cumsum(products, out=sums[1:])
    runs = sums[size:] - sums[:-size]
    runs *= inverses[: len(runs)]
    return runs


@lru_cache(maxsize=8)
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """BASE^i, and SPREAD / BASE^i."""
    found = []
    for base, first in ((BASE, 1), (pow(BASE, -1, 1 << 64), SPREAD)):
        factors = np.full(count, base, dtype=np.uint64)
        factors[0] = first
        found.append(np.cumprod(factors))
    return found[0], found[1]


def share_a_shingle(
    firsts: Sequence[np.ndarray],
    seconds: Sequence[np.ndarray],
    owners: np.ndarray,
    *,
    size: int = 13,
    hashes: Hashes = rolling_hashes,
) -> np.ndarray:
    """Of each second document, whether `size` of its tokens in a row also stand in its first document.

    Args:
        firsts: token ids of first documents.
        seconds: token ids of second documents.
        owners: shape (seconds,): which first document each is compared with.
        size: tokens of a shingle.
        hashes: of every shingle.

    Returns:
        bool, shape (seconds,). A document of fewer than `size` tokens shares nothing.

    Source: SBP, appendix A, nearest neighbour pairing.
    """
    shared = np.zeros(len(seconds), dtype=bool)
    first, second = (_Joined(documents, size, hashes) for documents in (firsts, seconds))
    if not len(first.hashes) or not len(second.hashes):
        return shared
    left = first.shingles(np.ones(len(first.hashes), dtype=bool), np.arange(len(firsts)))
    right = second.shingles(_may_be_among(second.hashes, left.hashes), owners)
    right = right.where(_may_be_among(right.keys, left.keys))
    # A copy has a shingle for each of its tokens, and one decides: the first of every document goes ahead of the rest.
    ahead = np.ones(len(right.places), dtype=bool)
    ahead[1:] = right.documents[1:] != right.documents[:-1]
    for chosen in (ahead, ~ahead):
        _compare(left, right.where(chosen & ~shared[right.documents]), shared)
    return shared


@dataclass(frozen=True)
class _Shingles:
    """Some of the shingles of documents."""

    joined: "_Joined"
    places: np.ndarray
    """Where each begins in the documents joined, rising."""
    documents: np.ndarray
    """Number of the document that it stands in."""
    owners: np.ndarray
    """Number of the first document that it may be found in."""
    hashes: np.ndarray
    keys: np.ndarray
    """One number for hash and owner."""

    def where(self, chosen: np.ndarray) -> "_Shingles":
        parts = (self.places, self.documents, self.owners, self.hashes, self.keys)
        return _Shingles(self.joined, *(part[chosen] for part in parts))

    def tokens(self) -> np.ndarray:
        """Shape (shingles, size)."""
        return self.joined.tokens[self.places[:, None] + np.arange(self.joined.size)]


class _Joined:
    """Documents joined, and the hash of whatever begins at each place."""

    def __init__(self, documents: Sequence[np.ndarray], size: int, hashes: Hashes):
        self.size = size
        self.ends = np.cumsum([len(document) for document in documents], dtype=np.int64)
        self.tokens = np.concatenate(documents) if len(documents) else np.empty(0, dtype=np.int64)
        enough = len(self.tokens) >= size
        self.hashes = hashes(self.tokens, size) if enough else np.empty(0, dtype=np.uint64)

    def shingles(self, chosen: np.ndarray, owners: np.ndarray) -> _Shingles:
        """Those chosen that don't run over the end of their document.

        Args:
            chosen: bool, for each hash.
            owners: for each document the first document that it is compared with.
        """
        places = np.flatnonzero(chosen)
        counts = np.searchsorted(places, self.ends)
        counts[1:] -= counts[:-1].copy()
        documents = np.repeat(np.arange(len(self.ends)), counts)
        whole = places + self.size <= self.ends[documents]
        places, documents = places[whole], documents[whole]
        hashes, owner = self.hashes[places], owners[documents]
        return _Shingles(self, places, documents, owner, hashes, hashes + owner.astype(np.uint64) * np.uint64(BASE))


def _compare(left: _Shingles, right: _Shingles, shared: np.ndarray) -> None:
    """Mark in `shared` the second documents of which one of these shingles stands in their first document."""
    if not len(right.places):
        return
    left = left.where(_may_be_among(left.keys, right.keys))
    left = left.where(np.argsort(left.keys))
    at = np.searchsorted(left.keys, right.keys)
    while True:  # one turn, but for collisions and for what a first document repeats
        more = (at < len(left.keys)) & ~shared[right.documents]
        more[more] = left.keys[at[more]] == right.keys[more]
        right, at = right.where(more), at[more]
        if not len(at):
            return
        here = left.where(at)
        equal = (right.tokens() == here.tokens()).all(axis=1) & (here.owners == right.owners)
        shared[right.documents[equal]] = True
        at += 1


def _may_be_among(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """False of a value that is not among the others; True of all that are, and of few that are not."""
    if not len(others):
        return np.zeros(len(values), dtype=bool)
    bits = (ENTRIES_FOR_EACH * len(others)).bit_length()
    shift, table = np.uint64(64 - bits), np.zeros(1 << bits, dtype=bool)
    table[(others >> shift).view(np.int64)] = True  # signed places are looked up in half the time of unsigned ones
    return table[(values >> shift).view(np.int64)]
