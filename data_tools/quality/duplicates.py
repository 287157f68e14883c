"""Duplicate@N: which of N sampled documents have a near-duplicate among them, by MinHash at a Jaccard similarity.

Documents are compared by runs of five words, as `data dedup` does. The share grows with the sample, since there is more
to be like, so it can be compared at the same N only; the paper's is a million.

Source: Synthetic Bootstrapped Pretraining, section 4.2 (Duplicate@1M, Jaccard similarity 0.6).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from data_tools.corpus.keys import repeated
from data_tools.files import join_files
from data_tools.text.dedup import PERMUTATIONS, MinHash, band_keys, bands_for, clusters, similarities

NGRAM = 5
THRESHOLD = 0.6
BANDS, ROWS = bands_for(THRESHOLD)
BANDS_OF_A_SHARD = 4
AT_ONCE = 256
"""Documents that are signed together."""

NUMBERS, SIGNATURES, KEYS, PAIRS = "signed.bin", "signatures.bin", "bands.npy", "pairs.npy"


class Signed:
    """Signatures of the documents of a shard that are in the sample, written into its folder."""

    def __init__(self, folder: Path):
        self._folder, self._sign = folder, MinHash(NGRAM)
        self._texts, self._numbers = list[str](), list[int]()
        self._keys = [np.empty((BANDS, 0), dtype=np.uint64)]

    def __enter__(self) -> Self:
        self._file = (self._folder / SIGNATURES).open("wb")
        return self

    def __exit__(self, *_error: object) -> None:
        self._flush()
        self._file.close()
        np.save(self._folder / KEYS, np.concatenate(self._keys, axis=1))
        np.array(self._numbers, dtype=np.int64).tofile(self._folder / NUMBERS)

    def add(self, number: int, text: str) -> None:
        self._numbers.append(number)
        self._texts.append(text)
        if len(self._texts) == AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._texts:
            signatures = self._sign(self._texts)
            self._file.write(signatures.astype(np.uint8))
            self._keys.append(band_keys(signatures, BANDS, ROWS))
            self._texts.clear()


@dataclass(frozen=True)
class BandPairs:
    """work((first band, one past the last), folder): writes pairs (first, later) that agree in one of these bands."""

    folders: tuple[Path, ...]
    """Of the shards, each with what `Signed` wrote."""
    signatures: Path
    """All of them joined."""

    def __call__(self, bands: tuple[int, int], folder: Path) -> dict[str, int]:
        pairs = np.concatenate([self._pairs(band, folder / "keys") for band in range(*bands)])
        np.save(folder / PAIRS, pairs.astype(np.uint32))
        return {"pairs": len(pairs)}

    def _pairs(self, band: int, keys: Path) -> np.ndarray:
        """Those that are similar enough."""
        with keys.open("wb") as file:
            for shard in self.folders:
                file.write(np.ascontiguousarray(np.load(shard / KEYS, mmap_mode="r")[band]))
        candidates = repeated(keys, words=1)
        keys.unlink()
        return candidates[similarities(_rows(self.signatures), candidates) >= THRESHOLD]


@dataclass(frozen=True)
class Found:
    """What there is of near-duplicates in the sample."""

    sampled: int
    flagged: np.ndarray
    """Numbers of the documents that have one."""
    first: np.ndarray
    """Of each of them, the first document of its cluster."""

    @property
    def superfluous(self) -> int:
        """Documents that would go if one of each cluster were kept."""
        return int((self.flagged != self.first).sum())


def joined(folders: Sequence[Path], target: Path) -> Path:
    """The signatures of all shards in one file."""
    return join_files([folder / SIGNATURES for folder in folders], target)


def found_in(folders: Sequence[Path], banded: Sequence[Path]) -> Found:
    """Put together what the shards and the bands found.

    Args:
        folders: of the shards.
        banded: folders of the bands.
    """
    numbers = np.concatenate([np.fromfile(folder / NUMBERS, dtype=np.int64) for folder in folders])
    paired = np.zeros(len(numbers), dtype=bool)
    for folder in banded:
        paired[np.load(folder / PAIRS).ravel()] = True
    first = clusters(len(numbers), [folder / PAIRS for folder in banded])
    return Found(len(numbers), numbers[paired], numbers[first[paired]])


def _rows(path: Path) -> np.ndarray:
    if not path.stat().st_size:
        return np.empty((0, PERMUTATIONS), dtype=np.uint8)
    return np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, PERMUTATIONS)
