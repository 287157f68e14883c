"""Tokenizing writes a corpus that Megatron-core reads, whole or not at all, with every document accounted for."""

import gzip
import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
import zstandard

from data_tools.corpus.groups import read_groups
from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import read_manifest
from data_tools.corpus.names import Names
from data_tools.errors import InputError
from data_tools.files import locked
from data_tools.steps.tokenize import tokenize
from data_tools.text.readers import Document, Fields, read_documents, write_documents
from data_tools.text.tokenizer import Tokenizer
from data_tools.text.training import train_tokenizer
from data_tools.workers import team
from tests.megatron_corpus import read_by_megatron
from tests.support import mpiexec, small_disk

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from pathlib import Path
from data_tools.workers import team
with team(int(sys.argv[4])) as crew:
    from data_tools.steps.tokenize import tokenize
    tokenize([Path(sys.argv[1])], Path(sys.argv[2]), Path(sys.argv[3]), shard_bytes=50_000, crew=crew)
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
    manifest = tokenize([made[0]], made[1], tmp_path / "corpus")
    tokenizer, theirs = Tokenizer.load(made[1]), read_by_megatron(tmp_path / "corpus" / CORPUS_PREFIX)
    documents = list(read_documents([made[0]]))
    assert len(theirs) == len(documents) == manifest.counts["documents"]
    for number, document in enumerate(documents):
        *tokens, last = theirs[number]
        assert (tokenizer.decode(tokens), last) == (document.text, tokenizer.eos)


def test_counts_and_sidecars_match_the_corpus(made, tmp_path):
    manifest = tokenize([made[0]], made[1], tmp_path / "corpus")
    prefix = tmp_path / "corpus" / CORPUS_PREFIX
    documents = list(read_documents([made[0]]))
    assert manifest.counts["tokens"] == IndexedCorpus(prefix).token_count
    assert manifest.counts["read"] == len(documents)
    assert (manifest.counts["pages"], len(read_groups(prefix))) == (300, 600)
    assert list(Names(prefix)) == [document.id for document in documents]
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


def bytes_of(corpus):
    names = (".bin", ".idx", ".groups.npy", ".names.bin", ".names.npy")
    return {name: (corpus / f"{CORPUS_PREFIX}{name}").read_bytes() for name in names}


def test_the_bytes_do_not_depend_on_who_works_or_how_it_is_parted(made, tmp_path):
    lines = tmp_path / "documents.jsonl"
    write_documents(lines, random_documents(600, 60))
    whole = tokenize([lines], made[1], tmp_path / "whole")
    with team(2) as crew:
        parted = tokenize([lines], made[1], tmp_path / "parted", shard_bytes=10_000, crew=crew)
    assert whole.outputs == parted.outputs
    by_ranks = [*mpiexec(3), sys.executable, "-c", PROGRAM, str(lines), str(made[1]), str(tmp_path / "ranks"), "1"]
    subprocess.run(by_ranks, check=True, cwd=ROOT, timeout=120)
    assert read_manifest(tmp_path / "ranks").outputs == whole.outputs


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_the_bytes_do_not_depend_on_how_the_input_is_packed(made, tmp_path, ending):
    packed = tmp_path / f"documents{ending}"
    lines = "".join(json.dumps(asdict(document)) + "\n" for document in read_documents([made[0]])).encode()
    pack = {".jsonl": bytes, ".jsonl.gz": gzip.compress, ".jsonl.zst": zstandard.compress}[ending]
    packed.write_bytes(pack(lines))
    tokenize([packed], made[1], tmp_path / "corpus", shard_bytes=10_000)
    tokenize([made[0]], made[1], tmp_path / "reference", backend="reference")
    assert bytes_of(tmp_path / "corpus") == bytes_of(tmp_path / "reference")


def test_a_document_can_be_split_into_parts_of_equal_length(made, tmp_path):
    tokenizer, documents = Tokenizer.load(made[1]), list(read_documents([made[0]]))
    limit = 40
    manifest = tokenize([made[0]], made[1], tmp_path / "corpus", max_tokens=limit, too_long="split")
    corpus, names = IndexedCorpus(tmp_path / "corpus" / CORPUS_PREFIX), list(Names(tmp_path / "corpus" / CORPUS_PREFIX))
    joined = {}
    for number, name in enumerate(names):
        tokens = corpus.document(number).tolist()
        assert tokens.pop() == tokenizer.eos
        assert len(tokens) <= limit
        page, _, rest = name.partition("#")
        joined.setdefault(f"{page}#{rest.split('.')[0]}", []).append(tokens)
    encoded = tokenizer.encode([document.text for document in documents])
    expected = dict(zip([document.id for document in documents], encoded, strict=True))
    assert {name: [t for part in parts for t in part] for name, parts in joined.items()} == expected
    assert all(max(map(len, parts)) - min(map(len, parts)) <= 1 for parts in joined.values())
    assert manifest.counts["split"] == sum(len(tokens) > limit for tokens in expected.values()) > 0
    assert len(set(names)) == len(names)


def test_a_file_given_twice_under_two_names_is_refused_with_the_document_and_costs_no_work(made, tmp_path):
    again = shutil.copy(made[0], tmp_path / "again.jsonl.zst")
    with pytest.raises(InputError, match="documents 0 and 600: found the same name 'page0#0'"):
        tokenize([made[0], Path(again)], made[1], tmp_path / "corpus")
    shards = tmp_path / "corpus.partial" / "shards"
    done = {path: path.stat().st_mtime_ns for path in shards.rglob("done.json")}
    assert done
    manifest = tokenize([made[0], Path(again)], made[1], tmp_path / "corpus", allow_repeated_names=True)
    assert (manifest.counts["documents"], manifest.counts["repeated_names"]) == (1200, 600)


def test_a_corpus_holds_its_tokenizer(made, tmp_path):
    tokenize([made[0]], made[1], tmp_path / "corpus")
    assert Tokenizer.load(tmp_path / "corpus").hash == Tokenizer.load(made[1]).hash


def test_records_that_cannot_be_used_are_listed_and_counted(made, tmp_path):
    lines = tmp_path / "documents.jsonl"
    good = [json.dumps(asdict(document)) for document in read_documents([made[0]])]
    lines.write_text("\n".join([*good[:300], "{not json", '{"id": "x", "text": 7}', *good[300:]]) + "\n")
    manifest = tokenize([lines], made[1], tmp_path / "corpus", shard_bytes=10_000)
    assert (manifest.counts["documents"], sum(manifest.counts["rejected"].values())) == (600, 2)
    rejects = [json.loads(line) for line in (tmp_path / "corpus" / "rejects.jsonl").read_text().splitlines()]
    assert [(row["file"], row["line"]) for row in rejects] == [(str(lines), 301), (str(lines), 302)]
    with pytest.raises(InputError, match="2 of 602"):
        tokenize([lines], made[1], tmp_path / "other", max_bad_share=0.0)
    assert list((tmp_path / "other.partial").rglob("done.json")), "to go on from with another share"


def test_a_misspelt_key_is_told_before_the_work_begins(made, tmp_path):
    lines = tmp_path / "documents.jsonl"
    write_documents(lines, random_documents(600, 60))
    with pytest.raises(InputError, match=r"(?s)documents.jsonl:1, key 'txt'.*first 100 records are all.*--text-key"):
        tokenize([lines], made[1], tmp_path / "corpus", fields=Fields(text="txt"))


def test_a_second_builder_is_refused(made, tmp_path):
    with locked(tmp_path / "corpus"), pytest.raises(InputError, match="another process that is building it now"):
        tokenize([made[0]], made[1], tmp_path / "corpus")


def test_a_full_disk_is_told_in_a_line_and_once_there_is_space_the_build_goes_on(made, tmp_path):
    documents, disk = tmp_path / "documents.jsonl", tmp_path / "disk"
    write_documents(documents, random_documents(4000, 200))
    disk.mkdir()
    command = [
        sys.executable, "-m", "megatron_ext", "data", "tokenize", str(documents), str(disk / "corpus"),
        "--tokenizer", str(made[1]), "--workers", "2",
    ]  # fmt: skip
    with small_disk(disk, kilobytes=3000) as resize:
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1].endswith("Free some space and run the same command again.")
        assert "Traceback" not in ended.stderr
        assert not (disk / "corpus").exists()
        resize(30_000)
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        tokenize([documents], made[1], tmp_path / "elsewhere")
        assert bytes_of(disk / "corpus") == bytes_of(tmp_path / "elsewhere")


def children_of(process):
    return psutil.Process(process.pid).children(recursive=True)


def kill_one(process, whom):
    """Kill the parent, one of its workers, or a rank of an MPI world."""
    if whom == "parent":
        process.kill()
        return
    python = [child for child in children_of(process) if "python" in child.name()]
    # of a pool the first child is a worker; of mpiexec the second rank is one
    python[-1].kill()


SLOW = pytest.mark.slow


@pytest.mark.parametrize("share", [pytest.param(0.15, marks=SLOW), 0.5, pytest.param(0.8, marks=SLOW)])
@pytest.mark.parametrize("whom", ["parent", "worker", "rank"])
def test_a_tokenize_killed_mid_way_leaves_no_output_and_reruns_to_the_same_bytes(made, tmp_path, whom, share):
    documents = tmp_path / "documents.jsonl"
    write_documents(documents, random_documents(4000, 200))
    command = [sys.executable, "-c", PROGRAM, str(documents), str(made[1])]
    subprocess.run([*command, str(tmp_path / "undisturbed"), "1"], check=True, cwd=ROOT)
    parted = len(list(documents.open())) // 40
    killed = tmp_path / "killed"

    launcher = mpiexec(3) if whom == "rank" else []
    process = subprocess.Popen([*launcher, *command, str(killed), "2"], cwd=ROOT, stderr=subprocess.DEVNULL)
    shards = killed.with_name("killed.partial") / "shards"
    while process.poll() is None and len(list(shards.glob("*/done.json"))) < share * parted:
        time.sleep(0.001)
    assert process.poll() is None, "the build ended before it was killed: give it more documents"
    kill_one(process, whom)
    status = process.wait(timeout=60)
    if whom == "worker":
        assert status == 0, "another worker takes the shard of one that was killed"
    else:
        assert status != 0
        assert not killed.exists()
        done = {path: path.stat().st_mtime_ns for path in shards.glob("*/done.json")}
        assert done
        subprocess.run([*command, str(killed), "2"], check=True, cwd=ROOT)
    assert bytes_of(killed) == bytes_of(tmp_path / "undisturbed")
    assert not shards.exists()
