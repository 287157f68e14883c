"""Vectors -> the nearest neighbours of each document by inner product, and how many pairs a threshold would keep.

The layout is the SBP paper's: the vectors are cut into *value shards*, each with an index of its own, and into *key
shards*, the queries. Every worker holds a copy of one index and is given one key shard after another; a key shard's
neighbours so far are merged with those that the next value shard adds. So a worker's memory is one index, whatever the
number of documents, and the neighbours are twice on the disk at most.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.manifest import Manifest, read_manifest, run_step
from data_tools.errors import InputError
from data_tools.files import SHARDS, flush
from data_tools.steps import recall, similarity_page
from data_tools.steps.placement import threads_of_worker
from data_tools.steps.search import ENGINES, Effort, Engine, Found, engine_for
from data_tools.steps.vectors import Vectors, put_rows
from data_tools.workers import HERE, Team, folder_of, run_shards

FILES = IDS, SIMILARITIES = "ids.npy", "similarities.npy"
VALUE_SHARD = 1_000_000
KEY_SHARDS = 64
FEWEST_KEYS, MOST_KEYS = 4096, 65_536
BATCH = 4096
"""Queries at a time: their neighbours are what a worker holds beside its index."""
OPEN: dict[Any, Engine] = {}
"""The index that this worker has in memory."""


def neighbors(
    vectors: Path,
    output: Path,
    *,
    top_k: int = 200,
    engine: str = "auto",
    target_recall: float = 0.95,
    value_shard: int = VALUE_SHARD,
    replace: bool = False,
    crew: Team = HERE,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Find the nearest neighbours of every document.

    Args:
        vectors: folder written by `embed`.
        output: folder to make: `ids.npy` int64 and `similarities.npy` float32, both (documents, k), nearest first; a
            document is never its own neighbour; id -1 and similarity -inf where fewer were found. k is smaller than
            top_k where there are fewer documents. Beside them `similarities.html` and `.json`.
        top_k: neighbours of each.
        engine: one of `search.ENGINES`, or `auto`: exact for small corpora, else ScaNN.
        target_recall: share of the true neighbours that have to be found. The search tries harder until a sample of
            200 documents says so.
        value_shard: most documents under one index, if that is more than top_k.
        replace: remove an output that other inputs or settings made.
        crew: who works.
        progress: called with (searches done, searches in all): every document in every value shard.

    Raises:
        InputError: the vectors can't be read, the engine is unknown or not installed, or not even its most thorough
            search finds enough.
    """
    if crew.part is not None:
        raise InputError(
            where="data neighbors", found="the tasks of a Slurm array",
            expected="MPI ranks: every index has to be searched by all before the next one",
            fix="Start it with srun --mpi=pmix in one job, see docs/data.md.",
        )  # fmt: skip
    if not 0 < target_recall <= 1:
        raise InputError(
            where="--target-recall", found=str(target_recall), expected="above 0, at most 1", fix="Take 0.95."
        )
    documents = len(Vectors(vectors))
    chosen, k = engine_for(engine, documents), min(top_k, documents - 1)

    def build(scratch: Path) -> dict[str, Any]:
        search = Search(vectors, chosen, k, crew.workers)
        values = _parts(documents, min(-(-documents // value_shard), documents // (k + 1)))
        indexes = scratch / SHARDS / "indexes"
        run_shards(BuildIndex(search), values, indexes, crew)
        folders = [folder_of(indexes, number) for number in range(len(values))]
        effort, found = least_effort(chosen, list(recall.recalls(folders, k)), target_recall, k)
        seen = _search_all(search, effort, values, scratch, crew, progress)
        similarity_page.write(scratch, **seen)
        return {
            "documents": documents, "neighbors": k, "engine": chosen, "value_shards": len(values),
            "recall_at_k": round(found, 4), "effort": asdict(effort), "missing": documents * k - sum(seen["all_found"]),
        }  # fmt: skip

    settings = {
        "top_k": top_k, "engine": chosen, "target_recall": target_recall, "value_shard": value_shard,
        "corpus": read_manifest(vectors).inputs.get("corpus"),
    }  # fmt: skip
    return run_step(
        output, step="neighbors", inputs={"vectors": vectors}, settings=settings, build=build, replace=replace
    )


@dataclass(frozen=True)
class Search:
    """What all shards of a search have in common."""

    vectors: Path
    engine: str
    k: int
    workers: int

    @property
    def threads(self) -> int:
        return threads_of_worker(self.workers)


@dataclass(frozen=True)
class BuildIndex:
    """Builds the index of a value shard, and tries every effort on the sample."""

    search: Search

    def __call__(self, values: tuple[int, int], folder: Path) -> dict[str, int]:
        vectors, engine, k = Vectors(self.search.vectors), ENGINES[self.search.engine], self.search.k
        part = vectors.rows(*values)
        engine.build(part, folder, self.search.threads)
        numbers = recall.sample_of(len(vectors))
        queries = vectors.take(numbers)
        exact = recall.exact_similarities(queries, numbers - values[0], part, k)
        index, found = engine(folder, part, self.search.threads), []
        for effort in engine.efforts:
            ids, claimed = _nearest(index, queries, numbers, values, k, effort)
            local = np.where(ids < 0, -1, ids - values[0])
            found.append((claimed, recall.true_similarities(queries, local, part)))
        recall.save_sample(folder, exact, found)
        return {"vectors": len(part)}


@dataclass(frozen=True)
class SearchKeys:
    """Searches one value shard for a key shard, and merges what was found with the value shards before."""

    search: Search
    effort: Effort
    values: tuple[int, int]
    index: Path
    before: Path | None
    """Scratch folder of the value shard before this one."""
    result: Path | None
    """Where the last value shard writes what the output holds."""

    def __call__(self, keys: tuple[int, int, int], folder: Path) -> dict[str, Any]:
        number, first, stop = keys
        vectors, k = Vectors(self.search.vectors), self.search.k
        index = _opened(self.search, self.index, self.values)
        at, rows, target = (0, stop - first, folder) if self.result is None else (first, len(vectors), self.result)
        seen = similarity_page.nothing()
        for start in range(first, stop, BATCH):
            end = min(start + BATCH, stop)
            queries, own = vectors.rows(start, end), np.arange(start, end)
            nearest = _nearest(index, queries, own, self.values, k, self.effort)
            if self.before is not None:
                earlier = folder_of(self.before, number)
                known = (np.load(earlier / name, mmap_mode="r")[start - first : end - first] for name in FILES)
                nearest = _merged(tuple(known), nearest, k)
            for name, found in zip(FILES, nearest, strict=True):
                put_rows(target / name, at + start - first, found, of=rows)
            similarity_page.add(seen, nearest[1])
        for name in FILES:
            flush(target / name)
        return seen


def _search_all(
    search: Search,
    effort: Effort,
    values: list[tuple[int, int]],
    scratch: Path,
    crew: Team,
    progress: Callable[[int, int], None] | None,
) -> dict[str, list[int]]:
    """Search all value shards, one after another; returns the histograms of the similarities."""
    documents = values[-1][1]
    size = min(MOST_KEYS, max(FEWEST_KEYS, -(-documents // KEY_SHARDS)))
    keys = [(n, *part) for n, part in enumerate(_parts(documents, -(-documents // size)))]
    before, counts = None, []
    for number, part in enumerate(values):

        def done(shards: int, _all: int, number: int = number) -> None:
            if progress:
                progress(number * documents + min(shards * size, documents), len(values) * documents)

        here = scratch / SHARDS / f"values-{number:04d}"
        last = number == len(values) - 1
        index = folder_of(scratch / SHARDS / "indexes", number)
        work = SearchKeys(search, effort, part, index, before, scratch if last else None)
        counts = run_shards(work, keys, here, crew, done)
        if before is not None:
            for path in before.glob(f"{SHARDS}/*/*.npy"):
                path.unlink()  # merged into this value shard's; the records stay, and with them what is done
        before = here
    return similarity_page.summed(counts)


def least_effort(engine: str, measured: list[float], target: float, k: int) -> tuple[Effort, float]:
    """The first effort that finds enough, with its recall."""
    efforts = ENGINES[engine].efforts
    for effort, found in zip(efforts, measured, strict=True):
        if found >= target:
            return effort, found
    best = max(range(len(measured)), key=measured.__getitem__)
    raise InputError(
        where=f"engine {engine}", found=f"recall@{k} {measured[best]:.4f} at best, searching {efforts[best].leaves:.0%}"
        f" of the leaves with {efforts[best].candidates} candidates for each neighbour",
        expected=f"{target}", fix="Ask for less with --target-recall, or take another --engine.",
    )  # fmt: skip


def _nearest(
    index: Engine, queries: np.ndarray, own: np.ndarray, values: tuple[int, int], k: int, effort: Effort
) -> Found:
    """The k nearest of a value shard by their numbers in the corpus, nearest first, without the queries themselves."""
    ids, similarities = index.search(queries, k + 1, effort)
    ids = np.where(ids < 0, -1, ids + values[0])
    others = ids != own[:, None]  # by number, not by place: a duplicate may come first
    others[others.all(axis=1), -1] = False
    return ids[others].reshape(-1, k), similarities[others].reshape(-1, k)


def _merged(first: Found, second: Found, k: int) -> Found:
    """The k nearest of two lists of (ids, similarities)."""
    ids, similarities = (np.hstack(both) for both in zip(first, second, strict=True))
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(similarities, order, axis=1)


def _parts(count: int, parts: int) -> list[tuple[int, int]]:
    """Stretches of nearly equal length, from start to before stop."""
    edges = [count * part // parts for part in range(parts + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))


def _opened(search: Search, folder: Path, values: tuple[int, int]) -> Engine:
    """This worker's copy of an index, kept until it is given a key shard for another."""
    key = (search, folder, values)
    if key not in OPEN:
        OPEN.clear()  # first: there may be no room for two
        engine = ENGINES[search.engine]
        part = Vectors(search.vectors).rows(*values) if engine.in_memory else None
        OPEN[key] = engine(folder, part, search.threads)
    return OPEN[key]
