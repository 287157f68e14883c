"""How near-duplicates are found: MinHash signatures, the bands in which candidates meet, and the clusters they form.

Two texts are compared by their sets of n-grams of words; letters count, case, punctuation and digits don't. A signature
estimates the Jaccard similarity J of two such sets without them: each of its PERMUTATIONS columns is equal in both with
probability J, so the standard error at J = 0.8 is 0.035. Candidates are pairs that agree in all columns of a band.

The library rensa makes the signatures. Only the lowest byte of each column is kept: columns that differ have it in
common once in 256, which the estimate allows for.
"""

import os
import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from data_tools.corpus.keys import key_of
from data_tools.errors import InputError

PERMUTATIONS = 128
SEED = 1
BY_CHANCE = 1 / 256
RECALL = 0.98
"""Least share of the pairs at the threshold itself that become candidates."""

MOST_WORDS = 1 << 20
"""Different words whose hashes a process keeps."""

CHUNK = 1 << 18
"""Pairs that are looked at together."""

WORD = re.compile(r"[^\W\d_]+")
SEPARATED = bytes(byte if byte > 127 or chr(byte).isalpha() else 32 for byte in range(256))
"""ASCII that is no letter to spaces; bytes of other characters stay."""

FACTOR = np.uint64(0x9E3779B97F4A7C15)


def words_of(text: str) -> list[bytes]:
    """The same words as `shingles.normalised_words`, in UTF-8."""
    pieces = text.lower().encode().translate(SEPARATED).split()
    if text.isascii():
        return pieces
    words = list[bytes]()
    for piece in pieces:
        if piece.isascii():
            words.append(piece)
        else:
            words += map(str.encode, WORD.findall(piece.decode()))
    return words


class MinHash:
    """Signatures of texts."""

    columns = PERMUTATIONS

    def __init__(self, ngram: int):
        os.environ.setdefault("RAYON_NUM_THREADS", "1")  # each worker has one core
        try:
            from rensa import RMinHash
        except ImportError as error:
            raise InputError(
                where="near-duplicates", found=f"no rensa ({error})", expected="the library that makes signatures",
                fix="pip install 'megatron_ext[dedup]', or drop only exact duplicates: --exact.",
            ) from None  # fmt: skip
        self._digests = RMinHash.digest_matrix_from_flat_token_hashes
        self._ngram = ngram
        self._hashes = _WordHashes()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Shape (texts, PERMUTATIONS), unsigned 32 bits."""
        numbers = [self._numbers(text) for text in texts]
        if len(self._hashes) > MOST_WORDS:
            self._hashes.clear()
        flat, lengths = np.concatenate(numbers), np.array([len(part) for part in numbers])
        count = max(0, len(flat) - self._ngram + 1)
        ngrams = flat[:count].copy()
        for place in range(1, self._ngram):
            ngrams = ngrams * FACTOR ^ flat[place : place + count]
        ends = np.cumsum(lengths)
        inside = np.ones(len(flat), dtype=bool)
        for place in range(1, self._ngram):
            inside[ends - place] = False  # an n-gram that begins here would reach into the next text
        rows = np.concatenate([[0], np.cumsum(lengths - self._ngram + 1)]).astype(np.uint64)
        return np.array(self._digests(ngrams[inside[:count]], rows, PERMUTATIONS, SEED).to_rows(), dtype=np.uint32)

    def _numbers(self, text: str) -> np.ndarray:
        """The hashes of the words of a text, at least as many as make an n-gram."""
        words = words_of(text) or [text.strip().encode()]
        found = np.zeros(max(len(words), self._ngram), dtype=np.uint64)
        found[: len(words)] = np.fromiter(map(self._hashes.__getitem__, words), dtype=np.uint64, count=len(words))
        return found


class SameWords:
    """Signatures that are equal only for equal words, and then in all their columns."""

    columns = 16

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Shape (texts, 16), unsigned 32 bits."""
        keys = b"".join(key_of(b" ".join(words_of(text)).decode() or text.strip()) for text in texts)
        return np.frombuffer(keys, dtype=np.uint8).reshape(-1, self.columns).astype(np.uint32)


def bands_for(threshold: float) -> tuple[int, int]:
    """Bands, and columns of each: the most columns with which RECALL is reached at the threshold."""
    for rows in range(PERMUTATIONS, 1, -1):
        bands = PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** bands >= RECALL:
            return bands, rows
    return PERMUTATIONS, 1


def band_keys(signatures: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """A key for each band of each signature: shape (bands, signatures), unsigned 64 bits."""
    parts = signatures[:, : bands * rows].reshape(len(signatures), bands, rows).astype(np.uint64)
    keys = np.zeros(parts.shape[:2], dtype=np.uint64)
    for row in range(rows):
        keys = (keys ^ parts[:, :, row]) * FACTOR
        keys ^= keys >> np.uint64(29)
    return np.ascontiguousarray(keys.T)


def similarities(signatures: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Estimated Jaccard similarities of pairs of documents.

    Args:
        signatures: lowest bytes, shape (documents, columns).
        pairs: numbers of documents, shape (pairs, 2).
    """
    found = [np.empty(0)]
    for start in range(0, len(pairs), CHUNK):
        one, other = pairs[start : start + CHUNK].T
        found.append((signatures[one] == signatures[other]).mean(axis=1))
    return np.maximum(0, (np.concatenate(found) - BY_CHANCE) / (1 - BY_CHANCE))


def clusters(documents: int, files: Iterable[Path]) -> np.ndarray:
    """For each document the first one of its cluster: all that pairs of duplicates connect. Unsigned 32 bits.

    Args:
        documents: their number.
        files: .npy files of pairs, shape (pairs, 2).
    """
    first = np.arange(documents, dtype=np.uint32)
    files, connected = list(files), False
    while not connected:
        connected = True
        for path in files:
            pairs = np.load(path, mmap_mode="r")
            for start in range(0, len(pairs), CHUNK):
                one, other = first[pairs[start : start + CHUNK].T]
                apart = one != other
                connected = connected and not apart.any()
                lower = np.minimum(one, other)[apart]
                np.minimum.at(first, one[apart], lower)
                np.minimum.at(first, other[apart], lower)
        while not np.array_equal(first, again := first[first]):
            first = again
    return first


class _WordHashes(dict[bytes, int]):
    def __missing__(self, word: bytes) -> int:
        self[word] = found = _hash_of(word)
        return found


def _hash_of(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
