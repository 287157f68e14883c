"""Which of very many texts are equal, in bounded memory: 16 bytes a text on the disk, 60M texts sorted in under 1 GB.

Two different texts among 60M share their 128 bits with a chance of 1 in 10^23.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

SORTED_AT_ONCE = 1 << 23
"""Hashes, about; 400 MB as they are sorted."""


def hashes_of(texts: Iterable[str]) -> np.ndarray:
    """BLAKE2b of each text, shape (texts, 2), unsigned 64-bit numbers."""
    joined = b"".join(blake2b(text.encode(), digest_size=16).digest() for text in texts)
    return np.frombuffer(joined, dtype="<u8").reshape(-1, 2)


def repeats(files: Sequence[Path], left_out: np.ndarray | None = None) -> np.ndarray:
    """Whether each hash is equal to an earlier one.

    Args:
        files: .npy files of hashes, which together are one list.
        left_out: shape (hashes,), those that are passed over, as if they weren't there.

    Returns:
        Shape (hashes,), boolean.
    """
    parts = [np.load(path, mmap_mode="r") for path in files]
    bounds = np.cumsum([0, *(len(part) for part in parts)])
    found = np.zeros(bounds[-1], dtype=bool)
    buckets = np.uint64(bounds[-1] // SORTED_AT_ONCE + 1)
    for bucket in range(int(buckets)):
        places = []
        for part, first in zip(parts, bounds, strict=False):
            chosen = np.flatnonzero(part[:, 0] % buckets == bucket)
            if left_out is not None:
                chosen = chosen[~left_out[first + chosen]]
            places.append((chosen, first))
        hashes = np.concatenate([part[chosen] for part, (chosen, _) in zip(parts, places, strict=True)] or [NONE])
        numbers = np.concatenate([chosen + first for chosen, first in places] or [NONE[:, 0]])
        order = np.lexsort((hashes[:, 1], hashes[:, 0]))  # stable: of equal ones the first comes first
        hashes = hashes[order]
        found[numbers[order[1:][(hashes[1:] == hashes[:-1]).all(axis=1)]]] = True
    return found


NONE = np.zeros((0, 2), dtype=np.uint64)
