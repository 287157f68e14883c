"""Words as numbers and runs of them as hashes: what the rules over documents compare.

Words are those of text/shingles: lower-case, without punctuation and digits. A word is a 64-bit hash that is the same
in every process, so what one worker hashed can be looked up by another.
"""

from hashlib import blake2b

import numpy as np

from data_tools.text.dedup import MOST_WORDS, words_of
from data_tools.text.near_duplicates import rolling_hashes


class WordHashes(dict[bytes, int]):
    """Hashes of words, computed once for each; forgotten when there are very many."""

    def __missing__(self, word: bytes) -> int:
        if len(self) > MOST_WORDS:
            self.clear()
        self[word] = found = int.from_bytes(blake2b(word, digest_size=8).digest(), "little")
        return found

    def of(self, text: str) -> np.ndarray:
        """Of the words of a text, in their order: uint64."""
        words = words_of(text)
        return np.fromiter(map(self.__getitem__, words), dtype=np.uint64, count=len(words))


def runs_of(words: np.ndarray, size: int) -> np.ndarray:
    """Hash of each run of `size` words: uint64, one fewer than `size` less than words; none of a shorter text."""
    return rolling_hashes(words, size) if len(words) >= size else np.empty(0, dtype=np.uint64)


def repeated_run(words: np.ndarray, size: int) -> int | None:
    """Where the first run of `size` words begins that stands in the text a second time; None if there is none."""
    runs = runs_of(words, size)
    values, firsts, counts = np.unique(runs, return_index=True, return_counts=True)
    return int(firsts[counts > 1].min()) if len(values) < len(runs) else None


def jaccard(one: np.ndarray, other: np.ndarray, size: int) -> float:
    """Of the sets of runs of `size` words: shared by all. A text shorter than that is one run."""
    first, second = (np.unique(runs_of(words, min(size, max(1, len(words))))) for words in (one, other))
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / max(1, len(first) + len(second) - shared)


def share_found(words: np.ndarray, source: np.ndarray, size: int) -> float:
    """Share of a text's different runs of `size` words that stand in its source; 0 of a shorter text."""
    own = np.unique(runs_of(words, size))
    return float(np.isin(own, runs_of(source, size)).mean()) if len(own) else 0.0
