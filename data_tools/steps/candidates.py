"""A document's neighbours, and which of them make pairs: rule after rule, each candidate dropped once, with its reason.

Everything that an array can tell comes first, so that tokens are looked at for few.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_tools.steps.normalised import NormalisedTokens

ROW = np.dtype([("d1", "<i8"), ("d2", "<i8"), ("similarity", "<f4")])
REASONS = ("self", "similarity", "too_long", "other_direction", "near_duplicate", "over_cap")
COUNTED = ("candidates", *(f"dropped_{reason}" for reason in REASONS), "pairs")

CANDIDATES_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What makes a pair of two neighbours."""

    min_similarity: float
    shingle: int
    max_tokens: int
    both_directions: bool
    max_per_document: int | None

    def sift(
        self, start: int, stop: int, ids: np.ndarray, similarities: np.ndarray, lengths: np.ndarray,
        tokens: NormalisedTokens,
    ) -> tuple[np.ndarray, Counter[str]]:  # fmt: skip
        """Pairs whose d1 is one of a few documents, and the counts of what was dropped.

        Args:
            start: first d1.
            stop: first document after the last d1.
            ids: shape (documents, k): neighbours of all documents, nearest first; -1 where there are fewer.
            similarities: shape (documents, k).
            lengths: tokens of each document, its end included.
            tokens: of the normalised text.
        """
        there = ids[start:stop] >= 0
        left = _Candidates(np.flatnonzero(there) // ids.shape[1] + start, ids[start:stop][there],
                           similarities[start:stop][there])  # fmt: skip
        left.drop(left.d1 == left.d2, "self")
        left.drop(~(left.similarity > self.min_similarity), "similarity")
        left.drop(lengths[left.d1].astype(np.int64) + lengths[left.d2] > self.max_tokens, "too_long")
        if not self.both_directions:
            left.drop(self._are_mirrored(left, ids, similarities), "other_direction")
        left.drop(tokens.near_duplicates(left.d1, left.d2, self.shingle), "near_duplicate")
        if self.max_per_document is not None:
            left.drop(_place_in_run(left.d1) >= self.max_per_document, "over_cap")
        return left.rows(), left.counts

    def _are_mirrored(self, left: "_Candidates", ids: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        """Candidates with d1 > d2 for which (d2, d1) is a candidate too, similar enough by its own measure."""
        mirrored = np.zeros(len(left.d1), dtype=bool)
        downward = np.flatnonzero(left.d1 > left.d2)
        step = max(1, CANDIDATES_AT_ONCE // ids.shape[1])
        for begin in range(0, len(downward), step):
            at = downward[begin : begin + step]
            row, column = np.nonzero(ids[left.d2[at]] == left.d1[at][:, None])
            mirrored[at[row]] |= similarities[left.d2[at[row]], column] > self.min_similarity
        return mirrored


class _Candidates:
    """Pairs that may be, in the order of d1 and for each nearest first, and counts of those that were dropped."""

    def __init__(self, d1: np.ndarray, d2: np.ndarray, similarity: np.ndarray):
        self.d1, self.d2, self.similarity = d1, d2, similarity
        self.counts = Counter(candidates=len(d1))

    def drop(self, wrong: np.ndarray, reason: str) -> None:
        self.counts[f"dropped_{reason}"] += int(wrong.sum())
        self.d1, self.d2, self.similarity = (values[~wrong] for values in (self.d1, self.d2, self.similarity))

    def rows(self) -> np.ndarray:
        found = np.empty(len(self.d1), dtype=ROW)
        found["d1"], found["d2"], found["similarity"] = self.d1, self.d2, self.similarity
        self.counts["pairs"] = len(found)
        return found


def _place_in_run(values: np.ndarray) -> np.ndarray:
    """Of sorted values, how many equal ones stand before each."""
    places = np.arange(len(values))
    return places - np.searchsorted(values, values, "left") if len(values) else places


def all_counts(parts: list[dict[str, Any]]) -> dict[str, int]:
    """The counts of all parts together, in the order of the rules."""
    return {name: sum(part.get(name, 0) for part in parts) for name in COUNTED}
