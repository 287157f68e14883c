"""Which pairs of documents share a run of tokens: exact, and without a Python object for a token or a run.

Every run of tokens (a shingle) is given a 64-bit hash from running sums, so that a hash costs a few operations,
however long the run. A table says at once of most shingles of d2 that no d1 holds them. What passes is joined
by hash, and at equal hashes the tokens are compared: a collision costs time, and never a pair.
"""

from collections.abc import Callable, Sequence
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
    # One number for a hash and the first document that it belongs to, or may be found in.
    salts = np.arange(len(firsts), dtype=np.uint64) * np.uint64(BASE)
    held = first.hashes + np.repeat(salts, first.lengths)[: len(first.hashes)]
    places = np.flatnonzero(_may_be_among(second.hashes, first.hashes))
    documents = second.documents_of(places)
    wanted = second.hashes[places] + salts[owners][documents]
    left = _may_be_among(wanted, held) & second.are_inside(places, documents)
    places, documents, wanted = places[left], documents[left], wanted[left]
    # A copy has a shingle for each of its tokens, and one decides: the first of every document goes ahead of the rest.
    ahead = np.ones(len(places), dtype=bool)
    ahead[1:] = documents[1:] != documents[:-1]
    for turn in (ahead, ~ahead):
        left = np.flatnonzero(turn & ~shared[documents])
        equal = _equal(first, held, second, places[left], wanted[left], owners[documents[left]])
        shared[documents[left[equal]]] = True
    return shared


class _Joined:
    """Documents joined, and the hash of what begins at each place."""

    def __init__(self, documents: Sequence[np.ndarray], size: int, hashes: Hashes):
        self.size = size
        self.lengths = np.array([len(document) for document in documents], dtype=np.int64)
        self.ends = np.cumsum(self.lengths)
        self.tokens = np.concatenate(documents) if len(documents) else np.empty(0, dtype=np.int64)
        enough = len(self.tokens) >= size
        self.hashes = hashes(self.tokens, size) if enough else np.empty(0, dtype=np.uint64)

    def documents_of(self, places: np.ndarray) -> np.ndarray:
        """Number of the document that each place, rising, stands in."""
        counts = np.searchsorted(places, self.ends)
        counts[1:] -= counts[:-1].copy()
        return np.repeat(np.arange(len(self.ends)), counts)

    def are_inside(self, places: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """Whether the shingle at each place ends before its document does."""
        return places + self.size <= self.ends[documents]

    def at(self, places: np.ndarray) -> np.ndarray:
        """Tokens of shingles, shape (places, size)."""
        return self.tokens[places[:, None] + np.arange(self.size)]


def _equal(
    first: _Joined, held: np.ndarray, second: _Joined, places: np.ndarray, wanted: np.ndarray, owners: np.ndarray
) -> np.ndarray:
    """Whether each of some shingles of second documents stands in its first document.

    Args:
        first: the first documents.
        held: a number for each of their shingles and the document.
        second: the second documents.
        places: where the shingles begin in these.
        wanted: a number for each shingle and the first document that it may stand in.
        owners: that document.
    """
    found = np.zeros(len(places), dtype=bool)
    theirs = np.flatnonzero(_may_be_among(held, wanted))
    documents = first.documents_of(theirs)
    inside = first.are_inside(theirs, documents)
    theirs, documents = theirs[inside], documents[inside]
    order = np.argsort(held[theirs], kind="stable")
    theirs, documents, keys = theirs[order], documents[order], held[theirs[order]]
    at, left = np.searchsorted(keys, wanted), np.arange(len(places))
    while True:  # one turn, but for collisions and for what a first document repeats
        more = (at < len(keys)) & ~found[left]
        more[more] = keys[at[more]] == wanted[left[more]]
        left, at = left[more], at[more]
        if not len(left):
            return found
        equal = (second.at(places[left]) == first.at(theirs[at])).all(axis=1)
        found[left] = equal & (documents[at] == owners[left])
        at = at + 1


def _may_be_among(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """False of a value that is not among the others; True of all that are, and of few that are not."""
    if not len(others):
        return np.zeros(len(values), dtype=bool)
    bits = (ENTRIES_FOR_EACH * len(others)).bit_length()
    shift, table = np.uint64(64 - bits), np.zeros(1 << bits, dtype=bool)
    table[(others >> shift).view(np.int64)] = True  # signed places are looked up in half the time of unsigned ones
    return table[(values >> shift).view(np.int64)]
