"""Neighbours -> pairs (d1, d2) of related documents that are not near-duplicates: an order over one corpus, no copy.

Source: SBP, nearest neighbour pairing: keep above a similarity; drop a pair if any 13-token shingle of d1, normalised,
stands in d2.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import Manifest, run_step
from data_tools.corpus.names import Names
from data_tools.errors import InputError
from data_tools.steps.neighbors import IDS, SIMILARITIES
from data_tools.text.readers import read_documents
from data_tools.text.shingles import normalised_words, share_a_shingle

PAIRS = "pairs.npy"
ROW = np.dtype([("d1", "<i8"), ("d2", "<i8"), ("similarity", "<f4")])


def pairs(
    documents: Sequence[Path],
    corpus: Path,
    neighbors: Path,
    output: Path,
    *,
    min_similarity: float,
    shingle: int = 13,
    max_tokens: int,
    replace: bool = False,
) -> Manifest:
    """Write the pairs.

    Args:
        documents: the files that were embedded, in the same order.
        corpus: the same documents, tokenized; documents that it lacks (too long) pair with none.
        neighbors: folder written by `neighbors`.
        output: folder to make; `pairs.npy` holds d1 and d2 (document numbers in the corpus) and their similarity.
        min_similarity: keep pairs above this cosine.
        shingle: drop pairs that share this many words in a row.
        max_tokens: drop pairs longer than this, both end-of-document tokens included.
        replace: remove an output that other inputs or settings made.

    Raises:
        InputError: no pair is left, or the inputs don't belong together.
    """

    def build(scratch: Path) -> dict[str, Any]:
        lengths = IndexedCorpus(corpus / CORPUS_PREFIX).lengths
        numbers = {name: number for number, name in enumerate(Names(corpus / CORPUS_PREFIX))}
        listed = list(read_documents(documents))
        words = [normalised_words(document.text) for document in listed]
        ids = np.load(neighbors / IDS, mmap_mode="r")
        if len(ids) != len(listed):
            raise InputError(
                where=str(neighbors), found=f"neighbours of {len(ids)} documents",
                expected=f"of the {len(listed)} documents given", fix="Name the files that were embedded.",
            )  # fmt: skip
        counts: Counter[str] = Counter()
        rows = []
        for first, second, similarity in _candidates(neighbors):
            d1, d2 = (numbers.get(listed[which].id) for which in (first, second))
            reason = None
            if similarity <= min_similarity:
                reason = "dropped_similarity"
            elif d1 is None or d2 is None or int(lengths[d1]) + int(lengths[d2]) > max_tokens:
                reason = "dropped_too_long"
            elif share_a_shingle(words[first], words[second], shingle):
                reason = "dropped_near_duplicate"
            counts["candidates"] += 1
            counts[reason or "pairs"] += 1
            if reason is None:
                rows.append((d1, d2, similarity))
        if not rows:
            raise InputError(
                where=str(neighbors), found=f"no pair among {counts['candidates']} candidates ({dict(counts)})",
                expected="at least one", fix="Lower min_similarity, raise max_tokens, or give more documents.",
            )  # fmt: skip
        np.save(scratch / PAIRS, np.array(rows, dtype=ROW))
        return {name: counts[name] for name in COUNTED}

    inputs = {str(number): path for number, path in enumerate(documents)}
    inputs |= {"corpus": corpus, "neighbors": neighbors}
    settings = {"min_similarity": min_similarity, "shingle": shingle, "max_tokens": max_tokens}
    return run_step(output, step="pairs", inputs=inputs, settings=settings, build=build, replace=replace)


COUNTED = ("candidates", "dropped_similarity", "dropped_too_long", "dropped_near_duplicate", "pairs")


def _candidates(neighbors: Path) -> Iterator[tuple[int, int, float]]:
    ids, similarities = np.load(neighbors / IDS, mmap_mode="r"), np.load(neighbors / SIMILARITIES, mmap_mode="r")
    for first in range(len(ids)):
        for second, similarity in zip(ids[first], similarities[first], strict=True):
            yield first, int(second), float(similarity)
