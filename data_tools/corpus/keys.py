"""Hashes of names and texts, one or more for each document, and what can be told from them in bounded memory.

Keys of all documents lie in a file, 64-bit words in the order of the documents. They are worked on in parts: equal
keys always fall into the same part, so a part can be sorted by itself.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

PART = 1 << 22
"""Documents of a part, about: 100 MB while it is sorted."""

CHUNK = 1 << 22
"""Documents read at a time."""


def key_of(text: str) -> bytes:
    """128 bits: two of 60M texts share them with a chance of 1 in 10^23."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def page_key(page: str) -> bytes:
    """64 bits: pages that share them are one group, of 60M two with a chance of 1 in 10,000."""
    return hashlib.blake2b(page.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def repeated(path: Path, *, words: int = 2, part: int = PART) -> np.ndarray:
    """Documents whose key an earlier one has: rows (first, later), int64 shape (repeats, 2), by the later one.

    Args:
        path: keys of all documents.
        words: 64-bit words of a key.
        part: documents sorted at a time.
    """
    found = [np.empty((0, 2), dtype=np.int64)]
    for numbers, keys in _parts(path, words, part):
        order, first = _grouped(keys)
        later = first != np.arange(len(order))
        found.append(np.stack([numbers[order[first[later]]], numbers[order[later]]], axis=1))
    rows = np.concatenate(found)
    return rows[np.argsort(rows[:, 1], kind="stable")]


def firsts_and_ranks(path: Path, *, part: int = PART) -> tuple[np.ndarray, np.ndarray]:
    """For each document the first one with its (one-word) key, and how many with it stand before it; both uint32."""
    count = path.stat().st_size // 8
    firsts, ranks = np.empty(count, dtype=np.uint32), np.empty(count, dtype=np.uint32)
    for numbers, keys in _parts(path, 1, part):
        order, first = _grouped(keys)
        firsts[numbers[order]] = numbers[order[first]]
        ranks[numbers[order]] = np.arange(len(order)) - first
    return firsts, ranks


def _grouped(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An order that puts equal keys together, earlier documents first, and for each place where its equals begin."""
    order = np.lexsort(keys.T[::-1])
    ordered = keys[order]
    opens = np.ones(len(order), dtype=bool)
    opens[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return order, np.maximum.accumulate(np.where(opens, np.arange(len(order)), 0))


def _parts(path: Path, words: int, part: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers and keys of the documents of one part after another."""
    count = path.stat().st_size // (8 * words)
    parts = max(1, -(-count // part))
    for chosen in range(parts):
        numbers, keys = [np.empty(0, dtype=np.int64)], [np.empty((0, words), dtype=np.uint64)]
        with path.open("rb") as file:
            for start in range(0, count, CHUNK):
                chunk = np.fromfile(file, dtype=np.uint64, count=CHUNK * words).reshape(-1, words)
                here = np.flatnonzero(chunk[:, 0] % np.uint64(parts) == chosen)
                numbers.append(here + start)
                keys.append(chunk[here])
        yield np.concatenate(numbers), np.concatenate(keys)
