"""Queries a second at recall@200 of 0.95 or more: `data neighbors` beside the libraries that it stands on.

Ours is the step's own unit of work (a key shard searched in a value shard): it reads the queries from the file of
vectors, searches with the effort that the step chose for itself, drops each document from its own neighbours, and
writes both arrays to the disk. The peers are bare calls on arrays in memory, with the fastest of several parameters
that reach the recall on the same sample. Every engine has a process of its own, for its peak memory, and they take
turns, so that whatever else the machine does hits all; a ratio is the median over the turns. The vectors are clustered,
with sizes of clusters and a spectrum such as embeddings have.

    python benchmarks/neighbors.py            1,000,000 x 384, about 20 minutes on 2 cores
    python benchmarks/neighbors.py --quick    30,000 x 384
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support import median, show
from data_tools.corpus.manifest import run_step
from data_tools.steps import recall
from data_tools.steps.placement import threads_of_worker
from data_tools.steps.vectors import VECTORS, Vectors, put_rows

K, TARGET, DIMENSIONS = 200, 0.95, 384
TURNS, QUERIES = 5, 4096
CLUSTERED = 300
"""Documents of a cluster, on average: no engine's number of leaves."""
OURS = "megatron_ext"
Search = Callable[[np.ndarray], np.ndarray]
"""Queries to the ids of their neighbours."""
Turns = tuple[dict[str, Any], Callable[[], Any], int]
"""What an engine is, what it does in a turn, and how many queries that answers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--documents", type=int, help="instead of 1,000,000, or 30,000 with --quick")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        _take_turns(given.side, given.folder)
        return
    documents = given.documents or (30_000 if given.quick else 1_000_000)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as started:
        _write_vectors(Path(folder) / "vectors", documents)
        sides = {name: started.enter_context(_Side(name, Path(folder))) for name in (OURS, *PEERS)}
        speeds: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(TURNS + 1):
            for name in list(sides)[:: 1 if turn % 2 else -1]:
                speed = sides[name].turn()
                if turn:  # the first warms up
                    speeds[name].append(speed)
        rows = [{"engine": name, "queries/s": median(speeds[name])} | sides[name].end() for name in sides]
    ratios = {name: [ours / other for ours, other in zip(speeds[OURS], speeds[name], strict=True)] for name in PEERS}
    show(
        f"{documents:,} x {DIMENSIONS} clustered vectors, top {K} at recall {TARGET}, {threads_of_worker(1)} threads",
        rows,
        ratios={name.lower().replace(" ", "_"): median(found) for name, found in ratios.items()},
        figures={"queries_per_second": round(rows[0]["queries/s"]), "peak_gb": rows[0]["peak GB"]},
    )  # fmt: skip


class _Side:
    """An engine in a process of its own, which searches when it is told to."""

    def __init__(self, name: str, folder: Path):
        command = [sys.executable, __file__, "--side", name, "--folder", str(folder)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._facts = self._answer()  # one is built at a time

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def turn(self) -> float:
        """Queries a second in one turn."""
        self._process.stdin.write("turn\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> dict[str, Any]:
        """What it is, and the memory that it had."""
        self._process.stdin.close()
        return self._facts | {"peak GB": self._answer()}

    def _answer(self) -> Any:
        return json.loads(self._process.stdout.readline())


def _take_turns(side: str, folder: Path) -> None:
    """Build, choose parameters on the sample, and search whenever a line comes."""
    facts, work, queries = _ours(folder) if side == OURS else _peer(side, folder / "vectors")
    print(json.dumps(facts), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        work()
        print(json.dumps(queries / (time.perf_counter() - started)), flush=True)
    print(json.dumps(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)), flush=True)


def _write_vectors(folder: Path, documents: int) -> None:
    """Clusters of all sizes in a space whose components matter less and less: the nearest of 200 neighbours has a
    similarity of 0.73, the last one 0.50, much as with documents.
    """
    generator = np.random.default_rng(1)
    scale = np.arange(1, DIMENSIONS + 1, dtype=np.float32) ** -0.4
    centres = generator.standard_normal((documents // CLUSTERED, DIMENSIONS), dtype=np.float32)
    shares = np.arange(1, len(centres) + 1) ** -0.5
    block = 100_000

    def build(scratch: Path) -> dict[str, Any]:
        for start in range(0, documents, block):
            size = min(block, documents - start)
            noise = generator.standard_normal((size, DIMENSIONS), dtype=np.float32)
            rows = (centres[generator.choice(len(centres), size, p=shares / shares.sum())] + 0.8 * noise) * scale
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            put_rows(scratch / VECTORS, start, rows.astype(np.float16), of=documents)
        return {}

    run_step(folder, step="embed", inputs={}, settings={}, build=build)


def _ours(folder: Path) -> Turns:
    from data_tools.steps.neighbors import BuildIndex, Search, SearchKeys, least_effort
    from data_tools.steps.search import engine_for

    documents = len(Vectors(folder / "vectors"))
    engine = engine_for("auto", 10**9, documents)  # what is taken at scale, however small this run is
    search, index = Search(folder / "vectors", engine, K, 1), folder / "index"
    index.mkdir()
    started = time.perf_counter()
    BuildIndex(search)((0, documents), index)
    built = time.perf_counter() - started
    effort, found = least_effort(engine, list(recall.recalls([index], K)), TARGET, K)
    unit = SearchKeys(search, effort, (0, documents), index, None, folder)
    queries = min(documents, QUERIES)
    parameters = f"{engine}, {effort.leaves:.0%} of leaves, {effort.candidates} k"
    return _facts(found, built, parameters), lambda: unit((0, 0, queries), folder), queries


def _peer(side: str, folder: Path) -> Turns:
    vectors = Vectors(folder)
    rows = vectors.rows(0, len(vectors))
    started = time.perf_counter()
    searches = list(PEERS[side](rows))
    built = time.perf_counter() - started
    sample = recall.sample_of(len(rows))
    kth = recall.exact_similarities(rows[sample], sample, rows, K).min(axis=1)
    enough = []
    for parameters, search in searches:
        started = time.perf_counter()
        ids = search(rows[sample]).astype(np.int64)
        taken = time.perf_counter() - started
        own = (ids == sample[:, None]) | (ids >= len(rows))
        true = recall.true_similarities(rows[sample], np.where(own, -1, ids), rows)
        found = float((true >= kth[:, None] - recall.ROUNDING).sum() / (K * len(sample)))
        if found >= TARGET:
            enough.append((taken, found, parameters, search))
    _, found, parameters, search = min(enough, key=lambda entry: entry[0])
    some = rows[: QUERIES if side != "exact faiss" else QUERIES // 4].copy()
    return _facts(found, built, parameters), lambda: search(some), len(some)


def _facts(found: float, built: float, parameters: str) -> dict[str, Any]:
    return {"recall": found, "build s": built, "parameters": parameters}


def _exact(rows: np.ndarray) -> Iterator[tuple[str, Search]]:
    import faiss

    faiss.omp_set_num_threads(threads_of_worker(1))
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    yield "-", lambda queries: index.search(queries, K + 1)[1]


def _ivfpq(rows: np.ndarray) -> Iterator[tuple[str, Search]]:
    import faiss

    faiss.omp_set_num_threads(threads_of_worker(1))
    lists = math.isqrt(len(rows))
    index = faiss.index_factory(
        rows.shape[1], f"IVF{lists},PQ{rows.shape[1] // 2}x4fs,RFlat", faiss.METRIC_INNER_PRODUCT
    )
    index.train(rows)
    index.add(rows)
    for share in (0.02, 0.05, 0.1, 0.2, 0.4):
        for factor in (2, 4, 8):
            coarse = faiss.SearchParametersIVF(nprobe=max(1, round(share * lists)))
            settings = faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=coarse)
            label = f"{share:.0%} of lists, {factor} k"
            yield label, lambda queries, s=settings: index.search(queries, K + 1, params=s)[1]


def _scann(rows: np.ndarray, *, tree: bool) -> Iterator[tuple[str, Search]]:
    from scann import scann_ops_pybind

    leaves = math.isqrt(len(rows))
    builder = scann_ops_pybind.builder(rows, K + 1, "dot_product").set_n_training_threads(threads_of_worker(1))
    if tree:
        builder = builder.tree(
            num_leaves=leaves, num_leaves_to_search=leaves, training_sample_size=min(len(rows), 100 * leaves)
        )
    index = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(3 * K).build()
    index.set_num_threads(threads_of_worker(1))
    for share in (0.05, 0.1, 0.2, 0.3, 0.4, 0.6) if tree else (None,):
        for factor in (2, 3, 6):
            settings = (factor * K, None if share is None else max(1, round(share * leaves)))
            label = f"{factor} k" if share is None else f"{share:.0%} of leaves, {factor} k"
            yield label, lambda queries, s=settings: index.search_batched_parallel(queries, K + 1, *s)[0]


PEERS: dict[str, Callable[[np.ndarray], Iterator[tuple[str, Search]]]] = {
    "exact faiss": _exact,
    "ScaNN": lambda rows: _scann(rows, tree=True),
    "ScaNN flat": lambda rows: _scann(rows, tree=False),
    "faiss IVF-PQ": _ivfpq,
}


if __name__ == "__main__":
    main()
