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
    left, right = (_Shingles(documents, size, hashes) for documents in (firsts, seconds))
    if not len(left.hashes) or not len(right.hashes):
        return shared
    places = right.among(left.hashes)
    documents = right.documents_of(places)
    # A copy has a place for each of its tokens, and one decides: the first of every document goes ahead of the rest.
    is_first = np.ones(len(places), dtype=bool)
    is_first[1:] = documents[1:] != documents[:-1]
    _compare(left, right, places[is_first], documents[is_first], owners, shared)
    rest = ~(shared[documents] | is_first)
    _compare(left, right, places[rest], documents[rest], owners, shared)
    return shared


class _Shingles:
    """Documents joined, and the hash of the shingle that begins at each place."""

    def __init__(self, documents: Sequence[np.ndarray], size: int, hashes: Hashes):
        self.size = size
        self.ends = np.cumsum([len(document) for document in documents], dtype=np.int64)
        self.tokens = np.concatenate(documents) if len(documents) else np.empty(0, dtype=np.int64)
        enough = len(self.tokens) >= size
        self.hashes = hashes(self.tokens, size) if enough else np.empty(0, dtype=np.uint64)

    def among(self, hashes: np.ndarray) -> np.ndarray:
        """Places, rising, of the shingles whose hash may be one of these; none that runs over a document's end."""
        may_be = _may_be_among(self.hashes, hashes)
        over = self.ends[:, None] - np.arange(1, self.size)  # may reach into documents before, but only over their end
        may_be[over[(over >= 0) & (over < len(may_be))]] = False
        return np.flatnonzero(may_be)

    def documents_of(self, places: np.ndarray) -> np.ndarray:
        """Number of the document that each place, rising, stands in."""
        counts = np.searchsorted(places, self.ends)
        counts[1:] -= counts[:-1].copy()
        return np.repeat(np.arange(len(self.ends)), counts)

    def at(self, places: np.ndarray) -> np.ndarray:
        """Tokens of the shingles, shape (places, size)."""
        return self.tokens[places[:, None] + np.arange(self.size)]


def _compare(
    left: _Shingles, right: _Shingles, places: np.ndarray, documents: np.ndarray, owners: np.ndarray, shared: np.ndarray
) -> None:
    """Mark in `shared` the second documents of which a shingle, at one of these places, stands in their first."""
    if not len(places):
        return
    theirs = left.among(right.hashes[places])
    first_documents = left.documents_of(theirs)
    # One number for hash and first document, so that a shingle of another document is mostly not even compared.
    keys = left.hashes[theirs] + first_documents.astype(np.uint64) * np.uint64(BASE)
    wanted = right.hashes[places] + owners[documents].astype(np.uint64) * np.uint64(BASE)
    order = np.argsort(keys)
    theirs, first_documents, keys = theirs[order], first_documents[order], np.append(keys[order], np.uint64(0))
    left_over = _may_be_among(wanted, keys)
    places, documents, wanted = places[left_over], documents[left_over], wanted[left_over]
    at = np.searchsorted(keys[:-1], wanted)
    while len(places):  # one turn, but for collisions and for what a first document repeats
        more = (at < len(theirs)) & (keys[at] == wanted) & ~shared[documents]
        places, documents, wanted, at = places[more], documents[more], wanted[more], at[more]
        equal = (right.at(places) == left.at(theirs[at])).all(axis=1)
        equal &= first_documents[at] == owners[documents]
        shared[documents[equal]] = True
        at += 1


def _may_be_among(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """False of a value that is not among the others; True of all that are, and of few that are not."""
    bits = (ENTRIES_FOR_EACH * len(others)).bit_length()
    shift, table = np.uint64(64 - bits), np.zeros(1 << bits, dtype=bool)
    table[(others >> shift).view(np.int64)] = True
    return table[(values >> shift).view(np.int64)]
