"""What is left of a damaged corpus is kept, passes verification, and what was lost is told; the damaged one stays."""

import json

import numpy as np
import pytest

from data_tools.corpus.indexed import HEADER, CorpusWriter, IndexedCorpus, token_dtype
from data_tools.corpus.manifest import run_step
from data_tools.corpus.names import NameFiles, Names, write_sidecars
from data_tools.corpus.repair import repair
from data_tools.corpus.verify import verify
from data_tools.errors import InputError
from tests.megatron_corpus import read_by_megatron

EOS, COUNT = 1, 50
VOCABULARIES = [600, 70_000]


def make(folder, vocabulary=600):
    chance = np.random.default_rng(2)
    documents = [[*chance.integers(2, vocabulary, chance.integers(1, 30)).tolist(), EOS] for _ in range(COUNT)]

    def build(scratch):
        with CorpusWriter(scratch / "corpus", token_dtype(vocabulary)) as writer, NameFiles(scratch) as names:
            for number, tokens in enumerate(documents):
                writer.add(np.array(tokens))
                names.add([f"manual/{number // 3}#{number % 3}"])
        write_sidecars(scratch / "corpus", scratch, kind="synthetic")
        (scratch / "tokenizer.model").write_bytes(b"a tokenizer")
        return {"documents": writer.documents, "tokens": writer.tokens}

    settings = {"eos": EOS, "vocabulary": vocabulary, "kind": "synthetic"}
    run_step(folder, step="tokenize", inputs={}, settings=settings, build=build)
    return documents


def held(folder):
    """Documents by name, once the corpus has been verified."""
    verify(folder)
    corpus, names = IndexedCorpus(folder / "corpus"), Names(folder / "corpus")
    return {name: corpus.document(number).tolist() for number, name in enumerate(names)}


def lost(folder):
    return [json.loads(line) for line in (folder / "lost.jsonl").read_text().splitlines()]


def by_name(documents):
    return {f"manual/{number // 3}#{number % 3}": tokens for number, tokens in enumerate(documents)}


def change(path, place, value):
    data = bytearray(path.read_bytes())
    data[place : place + len(value)] = value
    path.write_bytes(data)


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("damage", ["absent", "cut off", "foreign", "bit flipped", "of another corpus"])
def test_an_index_is_made_again_from_the_tokens_and_nothing_is_lost(tmp_path, vocabulary, damage):
    documents = make(tmp_path / "corpus", vocabulary)
    index = tmp_path / "corpus" / "corpus.idx"
    whole = index.read_bytes()
    if damage == "absent":
        index.unlink()
    elif damage == "cut off":
        index.write_bytes(whole[:-100])
    elif damage == "foreign":
        index.write_bytes(b"PK\x03\x04" * 100)
    elif damage == "bit flipped":
        change(index, HEADER.size + 4 * 20 + 1, b"\x01")
    else:
        with CorpusWriter(tmp_path / "other", token_dtype(vocabulary)) as writer:
            for _ in range(len(documents) + 5):
                writer.add(np.full(7, 3))
        index.write_bytes((tmp_path / "other.idx").read_bytes())
    counts = repair(tmp_path / "corpus", tmp_path / "repaired").counts
    assert held(tmp_path / "repaired") == by_name(documents)
    assert (tmp_path / "repaired" / "corpus.idx").read_bytes() == whole
    assert (counts["documents"], counts["lost_documents"], counts["without_name"]) == (COUNT, 0, 0)
    assert (tmp_path / "repaired" / "tokenizer.model").read_bytes() == b"a tokenizer"


@pytest.mark.parametrize("with_index", [True, False])
def test_a_torn_tail_is_cut_and_what_it_held_is_listed(tmp_path, with_index):
    documents = make(tmp_path / "corpus")
    tokens = tmp_path / "corpus" / "corpus.bin"
    before = sum(map(len, documents[:40]))
    with tokens.open("r+b") as file:
        file.truncate(2 * (before + 1) + 1)  # a token of document 40, and half of another
    if not with_index:
        (tmp_path / "corpus" / "corpus.idx").unlink()
    counts = repair(tmp_path / "corpus", tmp_path / "repaired").counts
    assert held(tmp_path / "repaired") == by_name(documents[:40])
    told = [counts[name] for name in ("documents", "lost_documents", "lost_cut_off", "lost_tokens", "cut_bytes")]
    assert told == [40, 10, 10, 1, 1]
    assert lost(tmp_path / "repaired")[0] == {
        "document": 40, "name": "manual/13#1", "tokens": 1, "reason": "cut_off",
    }  # fmt: skip


def test_a_document_whose_tokens_were_changed_is_left_out_and_named(tmp_path):
    documents = make(tmp_path / "corpus")
    starts = np.cumsum([0, *map(len, documents)])
    path = tmp_path / "corpus" / "corpus.bin"
    change(path, 2 * int(starts[7]) + 1, b"\xff")
    change(path, 2 * int(starts[21] - 1), b"\x05\x00")
    with pytest.raises(InputError, match=r"document 7 \(manual/2#1\) with token"):
        verify(tmp_path / "corpus")
    damaged = path.read_bytes()
    counts = repair(tmp_path / "corpus", tmp_path / "repaired").counts
    expected = by_name(documents)
    del expected["manual/2#1"], expected["manual/6#2"]
    assert held(tmp_path / "repaired") == expected
    assert (counts["lost_out_of_range"], counts["lost_no_end"]) == (1, 1)
    assert counts["tokens"] + counts["lost_tokens"] == sum(map(len, documents))
    assert {row["name"] for row in lost(tmp_path / "repaired")} == {"manual/2#1", "manual/6#2"}
    assert path.read_bytes() == damaged


def test_names_are_not_guessed_where_documents_have_been_merged(tmp_path):
    documents = make(tmp_path / "corpus")
    end = sum(map(len, documents[:21])) - 1
    change(tmp_path / "corpus" / "corpus.bin", 2 * end, b"\x05\x00")
    (tmp_path / "corpus" / "corpus.idx").unlink()
    counts = repair(tmp_path / "corpus", tmp_path / "repaired").counts
    assert (counts["documents"], counts["without_name"]) == (COUNT - 1, COUNT - 1)
    assert list(Names(tmp_path / "repaired" / "corpus"))[0] == "document-0"
    verify(tmp_path / "repaired")


@pytest.mark.parametrize("name", ["corpus.names.bin", "corpus.names.npy", "corpus.groups.npy"])
def test_a_sidecar_that_is_damaged_is_made_again(tmp_path, name):
    documents = make(tmp_path / "corpus")
    path = tmp_path / "corpus" / name
    path.write_bytes(path.read_bytes()[:-9])
    repair(tmp_path / "corpus", tmp_path / "repaired")
    found = held(tmp_path / "repaired")
    assert list(found.values()) == documents
    assert (found == by_name(documents)) == (name == "corpus.groups.npy")


def test_without_a_manifest_the_tokens_that_matter_have_to_be_named(tmp_path):
    documents = make(tmp_path / "corpus")
    for name in ("manifest.json", "corpus.idx"):
        (tmp_path / "corpus" / name).unlink()
    with pytest.raises(InputError, match="Give --eos and --vocabulary"):
        repair(tmp_path / "corpus", tmp_path / "repaired")
    repair(tmp_path / "corpus", tmp_path / "repaired", eos=EOS, vocabulary=600)
    assert held(tmp_path / "repaired") == by_name(documents)


def test_a_file_that_is_no_corpus_is_refused_and_nothing_is_left(tmp_path):
    make(tmp_path / "corpus")
    (tmp_path / "corpus" / "corpus.bin").write_bytes(np.random.default_rng(1).bytes(5000))
    with pytest.raises(InputError, match="expected tokens of this corpus"):
        repair(tmp_path / "corpus", tmp_path / "repaired")
    (tmp_path / "corpus" / "corpus.bin").write_bytes(b"")
    with pytest.raises(InputError, match="0 documents"):
        repair(tmp_path / "corpus", tmp_path / "repaired")
    assert not (tmp_path / "repaired").exists()
    with pytest.raises(InputError, match=r"corpus\.bin: found no such file"):
        repair(tmp_path, tmp_path / "repaired")


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_result_is_the_same_for_any_size_of_block(tmp_path, monkeypatch, size):
    documents = make(tmp_path / "corpus")
    change(tmp_path / "corpus" / "corpus.idx", HEADER.size + 4 * 20 + 1, b"\x01")
    monkeypatch.setattr("data_tools.corpus.repair.TOKENS_AT_ONCE", size)
    monkeypatch.setattr("data_tools.corpus.faults.TOKENS_AT_ONCE", size)
    monkeypatch.setattr("data_tools.corpus.repair.CHUNK", size)
    repair(tmp_path / "corpus", tmp_path / "repaired")
    assert held(tmp_path / "repaired") == by_name(documents)


def test_megatron_core_reads_a_repaired_corpus(tmp_path):
    documents = make(tmp_path / "corpus")
    (tmp_path / "corpus" / "corpus.idx").unlink()
    repair(tmp_path / "corpus", tmp_path / "repaired")
    assert read_by_megatron(tmp_path / "repaired" / "corpus") == documents
