"""Every document's neighbours: exact where that is asked for, else as many as were promised; never itself."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from data_tools.corpus.manifest import run_step
from data_tools.errors import InputError
from data_tools.steps.neighbors import neighbors
from data_tools.steps.search import Exact
from data_tools.steps.vectors import VECTORS, put_rows, stored
from data_tools.workers import Team, team
from tests.support import mpiexec

ROOT = Path(__file__).parents[3]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def clustered(count, dimensions, *, clusters, spread=0.5, seed=1):
    """Unit vectors around centres: trees are of no use for random ones."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((clusters, dimensions), dtype=np.float32)
    rows = centres[generator.integers(0, clusters, count)]
    rows += spread * generator.standard_normal((count, dimensions), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def folder_with(folder, rows, dtype="float16"):
    """A folder as `embed` writes it."""

    def build(scratch):
        put_rows(scratch / VECTORS, 0, stored(rows, dtype), of=len(rows))
        return {}

    run_step(folder, step="embed", inputs={}, settings={}, build=build)
    return folder


def brute_force(folder, k):
    """Similarities of all documents to their k nearest, and the whole matrix without the diagonal."""
    rows = np.load(folder / VECTORS).astype(np.float32)
    similarities = rows @ rows.T
    np.fill_diagonal(similarities, -np.inf)
    return -np.sort(-similarities, axis=1)[:, :k], similarities


def found(folder):
    return np.load(folder / "ids.npy", mmap_mode="r"), np.load(folder / "similarities.npy", mmap_mode="r")


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """5,000 documents: the first 40 are one and the same."""
    rows = clustered(5000, 32, clusters=50)
    rows[:40] = rows[0]
    return folder_with(tmp_path_factory.mktemp("vectors") / "vectors", rows)


@pytest.mark.parametrize("value_shard", [10_000, 1_300])
def test_exact_search_finds_what_comparing_all_with_all_finds(vectors, tmp_path, value_shard):
    manifest = neighbors(vectors, tmp_path / "n", top_k=50, engine="exact", value_shard=value_shard)
    ids, similarities = found(tmp_path / "n")
    expected, matrix = brute_force(vectors, 50)
    assert (ids.shape, ids.dtype, similarities.dtype) == ((5000, 50), np.int64, np.float32)
    assert np.allclose(similarities, expected, atol=1e-5)
    assert np.allclose(np.take_along_axis(matrix, np.array(ids), axis=1), similarities, atol=1e-5)
    assert manifest.counts["recall_at_k"] == 1.0
    assert manifest.counts["value_shards"] == -(-5000 // value_shard)


def test_a_document_is_never_its_own_neighbour_even_among_duplicates(vectors, tmp_path):
    neighbors(vectors, tmp_path / "n", top_k=20, engine="exact", value_shard=1_300)
    ids, similarities = found(tmp_path / "n")
    assert not (ids == np.arange(5000)[:, None]).any()
    assert (ids[:40] < 40).all()
    assert np.allclose(similarities[:40], 1, atol=1e-3)
    assert all(len(set(row)) == 20 for row in ids[:200].tolist())


@pytest.mark.parametrize("engine", ["scann", "scann-int8", "ivfpq"])
def test_an_approximate_search_finds_as_many_as_were_asked_for(vectors, tmp_path, engine):
    pytest.importorskip("scann" if engine.startswith("scann") else "faiss")
    manifest = neighbors(vectors, tmp_path / "n", top_k=50, engine=engine, target_recall=0.9, value_shard=2_500)
    ids, similarities = found(tmp_path / "n")
    expected, matrix = brute_force(vectors, 50)
    true = np.where(ids >= 0, np.take_along_axis(matrix, np.array(ids), axis=1), -np.inf)
    recall = np.mean(true >= expected[:, -1:] - 1e-5)
    assert recall == pytest.approx(manifest.counts["recall_at_k"], abs=0.03)
    assert manifest.counts["recall_at_k"] >= 0.9
    assert not (ids == np.arange(5000)[:, None]).any()
    assert (np.diff(np.where(ids >= 0, similarities, -9), axis=1) <= 0).all()
    assert np.allclose(true[ids >= 0], similarities[ids >= 0], atol=0.02 if engine == "scann-int8" else 1e-4)


def test_a_higher_target_makes_the_search_try_harder(vectors, tmp_path):
    low, high = (
        neighbors(vectors, tmp_path / str(target), top_k=50, engine="ivfpq", target_recall=target).counts
        for target in (0.5, 0.99)
    )
    assert high["recall_at_k"] >= 0.99
    assert (high["effort"]["leaves"], high["effort"]["candidates"]) > (low["effort"]["leaves"], 0)


def test_a_recall_that_cannot_be_reached_is_refused_with_the_best_found(tmp_path):
    folder = folder_with(tmp_path / "v", clustered(3000, 16, clusters=1, spread=5))
    pytest.importorskip("scann")
    with pytest.raises(InputError, match=r"recall@50 0\.\d+ at best, searching 100% of the leaves"):
        neighbors(folder, tmp_path / "n", top_k=50, engine="scann-int8", target_recall=1.0)


def test_int8_vectors_have_the_neighbours_of_float16_ones(vectors, tmp_path):
    small = folder_with(tmp_path / "int8", np.load(vectors / VECTORS).astype(np.float32), "int8")
    results = []
    for name, folder in (("float16", vectors), ("int8", small)):
        neighbors(folder, tmp_path / name / "n", top_k=10, engine="exact")
        results.append(found(tmp_path / name / "n"))
    assert np.abs(results[0][1] - results[1][1]).max() < 0.01
    shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(results[0][0][40:], results[1][0][40:], strict=True)])
    assert shared > 0.9


def test_where_there_are_fewer_documents_than_neighbours_asked_for_all_others_are_given(tmp_path):
    folder = folder_with(tmp_path / "v", clustered(7, 8, clusters=2))
    neighbors(folder, tmp_path / "n", top_k=200, value_shard=3)
    ids, _ = found(tmp_path / "n")
    assert [sorted(row) for row in ids.tolist()] == [[n for n in range(7) if n != own] for own in range(7)]


def test_the_picture_counts_the_pairs_that_each_threshold_keeps(vectors, tmp_path):
    neighbors(vectors, tmp_path / "n", top_k=20, engine="exact", value_shard=2_500)
    numbers = json.loads((tmp_path / "n" / "similarities.json").read_text())
    _, similarities = found(tmp_path / "n")
    for threshold in (0.5, 0.75, 0.9):
        place = numbers["thresholds"].index(threshold)
        assert numbers["pairs_kept"][place] == int((similarities >= threshold).sum())
        assert numbers["documents_with_a_pair"][place] == int((similarities[:, 0] >= threshold).sum())
    page = (tmp_path / "n" / "similarities.html").read_text()
    assert "Neighbours of 5,000 documents" in page
    assert "<script src=" not in page  # it opens without a network


def test_any_number_of_workers_gives_the_same_bytes(vectors, tmp_path):
    for workers in (1, 2):
        with team(workers) as crew:
            neighbors(vectors, tmp_path / str(workers), top_k=20, engine="exact", value_shard=1_300, crew=crew)
    for name in ("ids.npy", "similarities.npy"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_exact_search_gives_the_same_bytes_on_any_number_of_cores(vectors):
    rows = np.load(vectors / VECTORS).astype(np.float32)
    first, second = (Exact(vectors, rows, threads).search(rows[:3000], 20, Exact.efforts[0]) for threads in (1, 3))
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].tobytes() == second[1].tobytes()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"engine": "annoy"}, "one of auto, exact, scann"),
        ({"engine": "ivfpq", "value_shard": 500}, "500 documents under one index, expected at least 1000"),
        ({"target_recall": 95.0}, "--target-recall: found 95.0"),
        ({"crew": Team(task=0, tasks=2)}, "srun --mpi=pmix"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(vectors, tmp_path, changes, told):
    with pytest.raises(InputError, match=told):
        neighbors(vectors, tmp_path / "n", **changes)
    assert not (tmp_path / "n.partial").exists()


@pytest.mark.parametrize("content", [None, b"not an array", np.zeros(5)])
def test_a_folder_without_vectors_is_refused(tmp_path, content):
    if isinstance(content, bytes):
        (tmp_path / VECTORS).write_bytes(content)
    elif content is not None:
        np.save(tmp_path / VECTORS, content)
    with pytest.raises(InputError, match=r"vectors\.npy: found"):
        neighbors(tmp_path, tmp_path / "n")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Five key shards and four value shards, and the bytes of their neighbours."""
    folder = tmp_path_factory.mktemp("large")
    made = folder_with(folder / "vectors", clustered(20_000, 64, clusters=200))
    subprocess.run(command(made, folder / "n"), check=True, cwd=ROOT, env=ENVIRONMENT)
    return made, (folder / "n" / "ids.npy").read_bytes(), (folder / "n" / "similarities.npy").read_bytes()


def command(vectors, output, *options):
    arguments = ["--top-k", "50", "--engine", "exact", "--value-shard", "5000", *options]
    return [sys.executable, "-m", "megatron_ext", "data", "neighbors", str(vectors), str(output), *arguments]


def is_same(output, large):
    return ((output / "ids.npy").read_bytes(), (output / "similarities.npy").read_bytes()) == large[1:]


@pytest.mark.slow
def test_ranks_give_the_same_bytes(large, tmp_path):
    launch = [*mpiexec(3), *command(large[0], tmp_path / "n")]
    subprocess.run(launch, check=True, cwd=ROOT, env=ENVIRONMENT)
    assert is_same(tmp_path / "n", large)


@pytest.mark.slow
@pytest.mark.parametrize("searched", [1, 7, 16])
@pytest.mark.parametrize("victim", ["parent", "worker"])
def test_a_search_killed_at_any_moment_resumes_to_the_same_bytes(large, tmp_path, victim, searched):
    output = tmp_path / "n"
    arguments = command(large[0], output, "--workers", "2")
    process = subprocess.Popen(arguments, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    for _ in range(3000):
        if len(list((tmp_path / "n.partial").glob("shards/values-*/shards/*/done.json"))) >= searched:
            break
        time.sleep(0.01)
    if victim == "worker":
        psutil.Process(process.pid).children()[0].kill()
        assert process.wait() == 0
    else:
        process.kill()
        process.wait()
        assert not output.exists()
        again = subprocess.run(arguments, cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True, text=True)
        assert not again.stderr.startswith("searching: 0 of"), "it began anew"
    assert is_same(output, large)
