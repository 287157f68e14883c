"""How much of the truth an approximate search finds: measured on a sample of queries, against exact search.

A found neighbour counts if its true similarity reaches that of the k-th true neighbour: where many documents are
equally near, it doesn't matter which of them are named.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

SAMPLED = 200
"""Queries; the standard error of a recall of 0.95 is below 0.01, for neighbours of one query are found together."""
SEED = 20_250_901
BLOCK = 65_536
"""Vectors compared at a time."""
ROUNDING = 2e-6
"""Between two ways to add up an inner product in float32."""


def sample_of(documents: int) -> np.ndarray:
    """Numbers of the documents that recall is measured on; the same for the same number of documents."""
    generator = np.random.default_rng(SEED)
    return np.sort(generator.choice(documents, size=min(SAMPLED, documents), replace=False))


def exact_similarities(queries: np.ndarray, own: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    """Similarities of each query to its k nearest vectors, unordered; -inf where there are fewer.

    Args:
        queries: shape (queries, dimensions).
        own: for each query the place among the vectors that is itself; outside of them if it isn't there.
        vectors: shape (vectors, dimensions).
        k: neighbours of each.
    """
    best = np.full((len(queries), k), -np.inf, dtype=np.float32)
    for start in range(0, len(vectors), BLOCK):
        similarities = queries @ vectors[start : start + BLOCK].T
        inside = np.flatnonzero((own >= start) & (own < start + similarities.shape[1]))
        similarities[inside, own[inside] - start] = -np.inf
        both = np.concatenate([best, similarities], axis=1)
        best = np.partition(both, -k, axis=1)[:, -k:]
    return best


def true_similarities(queries: np.ndarray, ids: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """What the similarities of found neighbours are in truth; -inf for an id of -1."""
    true = np.full(ids.shape, -np.inf, dtype=np.float32)
    for row, found in enumerate(ids):
        true[row, found >= 0] = vectors[found[found >= 0]] @ queries[row]
    return true


def save_sample(folder: Path, exact: np.ndarray, found: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Keep what a part of the vectors gave: true neighbours, and for each effort (claimed, true) similarities."""
    np.savez(folder / "sample.npz", exact=exact, claimed=[pair[0] for pair in found], true=[pair[1] for pair in found])


def recalls(folders: Sequence[Path], k: int) -> Iterator[float]:
    """Recall at k of each effort, all parts together."""
    parts = [np.load(folder / "sample.npz") for folder in folders]
    exact = np.concatenate([part["exact"] for part in parts], axis=1)
    kth = np.partition(exact, -k, axis=1)[:, -k]
    for effort in range(len(parts[0]["claimed"])):
        claimed = np.concatenate([part["claimed"][effort] for part in parts], axis=1)
        true = np.concatenate([part["true"][effort] for part in parts], axis=1)
        kept = np.take_along_axis(true, np.argsort(-claimed, axis=1, kind="stable")[:, :k], axis=1)
        yield float(np.mean(kept >= kth[:, None] - ROUNDING))
