"""Engines of nearest neighbours by inner product: an index over a part of the vectors, kept on disk, and its search.

| engine | index |
|---|---|
| exact | none, every vector is compared: for small corpora, and as the reference |
| scann | sqrt(N) leaves, 4-bit codes of pairs of components, candidates compared again in float32: for large ones |
| scann-int8 | sqrt(N) leaves, all vectors of a leaf compared in 8 bits: the SBP paper's form, a quarter of the memory |
| ivfpq | faiss' sqrt(N) lists with the same codes, compared again in float32: where there is no ScaNN |

ScaNN's training isn't deterministic: two builds find slightly different neighbours, one index always the same.
"""

import importlib.util
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Protocol

import numpy as np

from data_tools.errors import InputError

EXACT_UP_TO = 50_000
"""Documents; with more, building an index and searching it takes less time than comparing all with all."""
TRAINED_ON = 256
"""Vectors for each leaf that k-means reads at most; more make no better leaves."""

QUERIES_OF_A_THREAD = 1024

Found = tuple[np.ndarray, np.ndarray]
"""Numbers in the part (int64, -1 where fewer were found) and similarities (float32), both (queries, k)."""


@dataclass(frozen=True)
class Effort:
    """How hard an approximate search tries."""

    leaves: float
    """Share of the index's leaves that are searched."""
    candidates: int
    """For each neighbour asked for, how many are compared again with finer vectors."""


class Engine(Protocol):
    """An index over a part of the vectors, open for search."""

    package: str
    extra: str
    in_memory: bool
    """Whether the vectors themselves are searched: there is no index on the disk."""
    efforts: tuple[Effort, ...]
    """From fast to thorough; each costs more than the one before."""

    @staticmethod
    def build(vectors: np.ndarray, folder: Path, threads: int) -> None:
        """Write an index over float32 vectors into a folder."""

    def __init__(self, folder: Path, vectors: np.ndarray | None, threads: int):
        """Open an index; `vectors` are those of its part, where they are searched themselves."""

    def search(self, queries: np.ndarray, k: int, effort: Effort) -> Found:
        """The k nearest of the part, nearest first."""


class Exact:
    """faiss compares every vector with every other one.

    Each thread has queries of its own: a product that several share is rounded by their number.
    """

    package, extra, in_memory = "faiss", "embed", True
    efforts = (Effort(1.0, 1),)

    @staticmethod
    def build(vectors: np.ndarray, folder: Path, threads: int) -> None:
        """Nothing to build."""

    def __init__(self, folder: Path, vectors: np.ndarray | None, threads: int):
        self._vectors, self._threads = vectors, threads

    def search(self, queries: np.ndarray, k: int, effort: Effort) -> Found:
        parts = [queries[start : start + QUERIES_OF_A_THREAD] for start in range(0, len(queries), QUERIES_OF_A_THREAD)]
        with ThreadPoolExecutor(self._threads) as threads:
            found = list(threads.map(self._nearest, parts, repeat(k)))
        return np.concatenate([ids for ids, _ in found]), np.concatenate([similarities for _, similarities in found])

    def _nearest(self, queries: np.ndarray, k: int) -> Found:
        import faiss

        faiss.omp_set_num_threads(1)  # of the thread that calls it
        similarities, ids = faiss.knn(queries, self._vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
        return ids, similarities


class Scann:
    """ScaNN's tree with asymmetric hashing: every vector is in two leaves (SOAR), so that fewer need be searched."""

    package, extra, in_memory = "scann", "scann", False
    efforts = tuple(Effort(*of) for of in (
        (0.02, 2), (0.03, 2), (0.05, 2), (0.05, 3), (0.1, 2), (0.1, 3), (0.15, 3), (0.2, 3), (0.3, 3), (0.3, 6),
        (0.5, 6), (1.0, 10), (1.0, 50),
    ))  # fmt: skip

    @staticmethod
    def build(vectors: np.ndarray, folder: Path, threads: int) -> None:
        tree = _tree(vectors, threads, soar_lambda=1.5)
        index = tree.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(2).build()
        index.serialize(str(folder), relative_path=True)

    def __init__(self, folder: Path, vectors: np.ndarray | None, threads: int):
        from scann import scann_ops_pybind

        self._index = scann_ops_pybind.load_searcher(str(folder))
        self._index.set_num_threads(threads)
        self._leaves, self._size = _leaves(self._index.size()), self._index.size()

    def search(self, queries: np.ndarray, k: int, effort: Effort) -> Found:
        ids, similarities = self._index.search_batched_parallel(
            queries, k, min(self._size, effort.candidates * k), max(1, round(effort.leaves * self._leaves))
        )
        found = np.isfinite(similarities)  # NaN where the leaves held fewer
        return np.where(found, ids.astype(np.int64), -1), np.where(found, similarities, -np.inf)


class ScannInt8(Scann):
    """ScaNN's tree, all vectors of a leaf compared in 8 bits."""

    efforts = tuple(Effort(share, 1) for share in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0))

    @staticmethod
    def build(vectors: np.ndarray, folder: Path, threads: int) -> None:
        index = _tree(vectors, threads).score_brute_force(quantize=True).build()
        index.serialize(str(folder), relative_path=True)


class IvfPq:
    """faiss' inverted lists with product-quantised codes and exact refinement."""

    package, extra, in_memory = "faiss", "embed", False
    efforts = tuple(Effort(*of) for of in (
        (0.02, 2), (0.02, 4), (0.05, 4), (0.1, 4), (0.2, 4), (0.2, 8), (0.4, 8), (0.4, 16), (1.0, 16), (1.0, 64),
    ))  # fmt: skip

    @staticmethod
    def build(vectors: np.ndarray, folder: Path, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        dimensions = vectors.shape[1]
        codes = next(dimensions // size for size in (2, 3, 1) if dimensions % size == 0)
        kind = f"IVF{_leaves(len(vectors))},PQ{codes}x4fs,RFlat"
        index = faiss.index_factory(dimensions, kind, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors)
        index.add(vectors)
        faiss.write_index(index, str(folder / "index.faiss"))

    def __init__(self, folder: Path, vectors: np.ndarray | None, threads: int):
        import faiss

        self._index, self._threads = faiss.read_index(str(folder / "index.faiss")), threads

    def search(self, queries: np.ndarray, k: int, effort: Effort) -> Found:
        import faiss

        faiss.omp_set_num_threads(self._threads)
        probed = max(1, round(effort.leaves * _leaves(self._index.ntotal)))
        coarse = faiss.SearchParametersIVF(nprobe=probed)
        parameters = faiss.IndexRefineSearchParameters(k_factor=effort.candidates, base_index_params=coarse)
        similarities, ids = self._index.search(queries, k, params=parameters)
        return ids, np.where(ids < 0, -np.inf, similarities)


ENGINES: dict[str, type[Engine]] = {"exact": Exact, "scann": Scann, "scann-int8": ScannInt8, "ivfpq": IvfPq}


def engine_for(name: str, documents: int) -> str:
    """The engine's name, "auto" decided by the number of documents and by what is installed.

    Raises:
        InputError: there is no such engine, or its library is not installed.
    """
    if name not in ("auto", *ENGINES):
        raise InputError(
            where="--engine", found=name, expected="one of " + ", ".join(("auto", *ENGINES)), fix="Choose one of them."
        )
    if name == "auto":
        approximate = "scann" if importlib.util.find_spec("scann") else "ivfpq"
        name = "exact" if documents <= EXACT_UP_TO else approximate
    if importlib.util.find_spec(ENGINES[name].package) is None:
        raise InputError(
            where=f"engine {name}", found=f"no package {ENGINES[name].package}", expected="an installed one",
            fix=f"pip install 'megatron_ext[{ENGINES[name].extra}]'",
        )  # fmt: skip
    return name


def _tree(vectors: np.ndarray, threads: int, **options: float) -> "object":
    from scann import scann_ops_pybind

    builder = scann_ops_pybind.builder(vectors, 2, "dot_product").set_n_training_threads(threads)
    leaves = _leaves(len(vectors))
    return builder.tree(
        num_leaves=leaves, num_leaves_to_search=leaves, training_sample_size=min(len(vectors), TRAINED_ON * leaves),
        **options,
    )  # fmt: skip


def _leaves(vectors: int) -> int:
    return max(1, math.isqrt(vectors))
