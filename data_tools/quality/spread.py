"""How a corpus is spread: over lengths, over its sources, and over different words."""

import math
from collections.abc import Iterable

import numpy as np

from data_tools.corpus.indexed import CHUNK
from data_tools.permutation import Permutation
from data_tools.quality.documents import Documents
from data_tools.quality.runs import WordHashes, runs_of

DISTINCT_WORDS = 1_000_000
"""Words among which n-grams are counted: the share of different ones falls with the size of a text, so it is fixed."""

ORDERS = (1, 2, 3, 4)
PLACES = {"least": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "most": 1.0}


def quantiles(parts: Iterable[np.ndarray]) -> dict[str, float]:
    """Of whole numbers that come in parts; in memory is how often each occurs, not the numbers."""
    counts = np.zeros(1, dtype=np.int64)
    for part in parts:
        here = np.bincount(part, minlength=len(counts))
        here[: len(counts)] += counts
        counts = here
    ends = np.cumsum(counts)
    total = int(ends[-1])
    found = {
        name: int(np.searchsorted(ends, min(int(total * place), total - 1), side="right"))
        for name, place in PLACES.items()
    }
    return found | {"mean": float(np.arange(len(counts)) @ counts / total)}


def histogram(parts: Iterable[np.ndarray]) -> list[dict[str, int]]:
    """How many of the numbers are in each range up to a power of two, from the first that holds any on."""
    bins = np.zeros(64, dtype=np.int64)
    for part in parts:
        bins += np.bincount(np.frexp(np.maximum(part, 0).astype(np.float64))[1], minlength=64)
    filled = np.flatnonzero(bins)
    return [
        {"from": 1 << (at - 1) if at else 0, "to": (1 << at) - 1, "documents": int(bins[at])}
        for at in (range(int(filled[0]), int(filled[-1]) + 1) if len(filled) else ())
    ]


def balance(sources: np.ndarray) -> dict[str, float]:
    """How evenly documents are spread over the sources that have any.

    Args:
        sources: number of each document's source.

    Returns:
        sources: that have a document;
        mean, most: documents of one;
        gini: 0 if all have as many documents, towards 1 if one has nearly all;
        top_percent: share of the documents that belongs to the hundredth of the sources with most of them.
    """
    counts = np.zeros(1, dtype=np.int64)
    for at in range(0, len(sources), CHUNK):
        here = np.bincount(sources[at : at + CHUNK].astype(np.int64), minlength=len(counts))
        here[: len(counts)] += counts
        counts = here
    counts = np.sort(counts[counts > 0])
    number, documents = len(counts), int(counts.sum())
    places = np.arange(1, number + 1, dtype=np.float64)
    return {
        "sources": number, "mean": documents / number, "most": int(counts[-1]),
        "gini": float(2 * (places @ counts) / (number * documents) - (number + 1) / number),
        "top_percent": float(counts[-math.ceil(number / 100) :].sum() / documents),
    }  # fmt: skip


def distinct(documents: Documents, *, seed: int, words: int = DISTINCT_WORDS) -> dict[str, float]:
    """Share of the n-grams that are different, n = 1 .. 4, over the first `words` words of documents in random order.

    Returns:
        words: how many there were; fewer than asked for if that is all of the corpus.
        distinct_1 .. distinct_4: different n-grams / n-grams, none across the end of a document.

    Source: Li et al. 2016, A diversity-promoting objective function for neural conversation models.
    """
    order, hashes = Permutation(len(documents), ("distinct", seed)), WordHashes()
    parts, left = list[np.ndarray](), words
    for place in range(len(documents)):
        part = hashes.of(documents.text(order.at(place)))[:left]
        parts.append(part)
        left -= len(part)
        if not left:
            break
    shares = {}
    for size in ORDERS:
        runs = np.concatenate([runs_of(part, size) for part in parts])
        shares[f"distinct_{size}"] = len(np.unique(runs)) / len(runs) if len(runs) else 0.0
    return {"words": words - left, **shares}
