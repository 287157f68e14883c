"""Tokenizing writes a corpus that Megatron-core reads, whole or not at all, with every document accounted for."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_tools.corpus.groups import read_groups, read_ids
from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.errors import InputError
from data_tools.steps.tokenize import tokenize
from data_tools.text.readers import Document, read_documents, write_documents
from data_tools.text.tokenizer import Tokenizer, train_tokenizer

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from pathlib import Path
from data_tools.steps.tokenize import tokenize
tokenize([Path(sys.argv[1])], Path(sys.argv[2]), Path(sys.argv[3]))
"""


def random_documents(count, words_each):
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghij", k=chance.randint(2, 8))) for _ in range(300)]
    texts = [" ".join(chance.choices(words, k=words_each)) for _ in range(count)]
    return [Document(f"page{n // 2}#{n % 2}", text, "s", "l") for n, text in enumerate(texts)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A file of documents, a tokenizer trained on it."""
    folder = tmp_path_factory.mktemp("made")
    write_documents(folder / "documents.jsonl.zst", random_documents(600, 60))
    train_tokenizer([folder / "documents.jsonl.zst"], folder / "tokenizer", vocabulary=600)
    return folder / "documents.jsonl.zst", folder / "tokenizer"


def test_megatron_core_reads_back_every_document_with_its_end(made, tmp_path):
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    manifest = tokenize([made[0]], made[1], tmp_path / "corpus")
    tokenizer, theirs = Tokenizer.load(made[1]), IndexedDataset(str(tmp_path / "corpus" / CORPUS_PREFIX))
    documents = list(read_documents([made[0]]))
    assert len(theirs) == len(documents) == manifest.counts["documents"]
    for number, document in enumerate(documents):
        *tokens, last = theirs[number].tolist()
        assert (tokenizer.decode(tokens), last) == (document.text, tokenizer.eos)


def test_counts_and_sidecars_match_the_corpus(made, tmp_path):
    manifest = tokenize([made[0]], made[1], tmp_path / "corpus")
    prefix = tmp_path / "corpus" / CORPUS_PREFIX
    documents = list(read_documents([made[0]]))
    assert manifest.counts["tokens"] == IndexedCorpus(prefix).token_count
    assert manifest.counts["words"] == sum(len(document.text.split()) for document in documents)
    assert (manifest.counts["pages"], len(read_groups(prefix))) == (300, 600)
    assert read_ids(prefix) == [document.id for document in documents]
    assert manifest.settings["tokenizer"] == Tokenizer.load(made[1]).hash


def test_a_document_is_dropped_and_counted_only_above_the_limit(made, tmp_path):
    tokenizer = Tokenizer.load(made[1])
    lengths = sorted(len(tokens) for tokens in tokenizer.encode([d.text for d in read_documents([made[0]])]))
    limit = lengths[300]
    manifest = tokenize([made[0]], made[1], tmp_path / "corpus", max_tokens=limit)
    assert manifest.counts["dropped_too_long"] == sum(length > limit for length in lengths)
    assert IndexedCorpus(tmp_path / "corpus" / CORPUS_PREFIX).lengths.max() == limit + 1


def test_a_corpus_without_documents_is_refused_and_leaves_no_output(made, tmp_path):
    with pytest.raises(InputError, match="found no document that can be kept"):
        tokenize([made[0]], made[1], tmp_path / "corpus", max_tokens=1)
    assert not (tmp_path / "corpus").exists()


def test_an_unknown_kind_is_refused_with_the_known_ones(made, tmp_path):
    with pytest.raises(InputError, match="found 'reel', expected one of real, rephrase"):
        tokenize([made[0]], made[1], tmp_path / "corpus", kind="reel")


SLOW = pytest.mark.slow


@pytest.mark.parametrize("share", [pytest.param(0.2, marks=SLOW), 0.5, pytest.param(0.8, marks=SLOW)])
def test_a_tokenize_killed_mid_way_leaves_no_output_and_reruns_to_the_same_bytes(made, tmp_path, share):
    documents = tmp_path / "documents.jsonl.zst"
    write_documents(documents, random_documents(6000, 400))
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    written = killed.with_name("killed.partial") / f"{CORPUS_PREFIX}.bin"
    command = [sys.executable, "-c", PROGRAM, str(documents), str(made[1])]
    subprocess.run([*command, str(undisturbed)], check=True, cwd=ROOT)
    enough = share * (undisturbed / f"{CORPUS_PREFIX}.bin").stat().st_size

    process = subprocess.Popen([*command, str(killed)], cwd=ROOT)
    while process.poll() is None and not (written.exists() and written.stat().st_size >= enough):
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "the build ended before it was killed: give it more documents"
    assert not killed.exists()

    subprocess.run([*command, str(killed)], check=True, cwd=ROOT)
    for suffix in (".bin", ".idx", ".groups.npy", ".ids.jsonl.zst"):
        name = CORPUS_PREFIX + suffix
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes()
    assert not written.parent.exists()
