"""Our corpora are Megatron-core's own, byte for byte, and a damaged one is refused and named."""

import numpy as np
import pytest

from data_tools.corpus.indexed import CorpusWriter, IndexedCorpus, token_dtype
from data_tools.errors import InputError
from tests.megatron_corpus import read_by_megatron, write_by_megatron

LENGTHS = [1, 7, 4096, 2, 300, 1]


def made(prefix, vocabulary=8192):
    chance = np.random.default_rng(5)
    documents = [chance.integers(0, vocabulary, length) for length in LENGTHS]
    with CorpusWriter(prefix, token_dtype(vocabulary)) as writer:
        for tokens in documents:
            writer.add(tokens)
    return documents


@pytest.mark.parametrize("vocabulary", [8192, 65_499, 65_500, 200_000])
def test_megatron_core_reads_our_corpus_token_for_token(tmp_path, vocabulary):
    documents = made(tmp_path / "corpus", vocabulary)
    assert read_by_megatron(tmp_path / "corpus") == [tokens.tolist() for tokens in documents]


@pytest.mark.parametrize("vocabulary", [8192, 200_000])
def test_our_bytes_are_those_that_megatron_core_writes(tmp_path, vocabulary):
    documents = made(tmp_path / "ours", vocabulary)
    write_by_megatron(tmp_path / "theirs", documents, vocabulary=vocabulary)
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"ours{suffix}").read_bytes() == (tmp_path / f"theirs{suffix}").read_bytes()


def test_documents_and_stretches_come_back_as_they_were_added(tmp_path):
    documents = made(tmp_path / "corpus")
    corpus, joined = IndexedCorpus(tmp_path / "corpus"), np.concatenate(documents)
    assert (len(corpus), corpus.token_count, corpus.lengths.tolist()) == (len(LENGTHS), sum(LENGTHS), LENGTHS)
    assert all((corpus.document(number) == tokens).all() for number, tokens in enumerate(documents))
    assert (corpus.tokens(5, 4200) == joined[5:4200]).all()


def test_a_prefix_may_hold_dots_and_only_bin_and_idx_remain(tmp_path):
    made(tmp_path / "corpus-v1.5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus-v1.5.bin", "corpus-v1.5.idx"]
    assert len(IndexedCorpus(tmp_path / "corpus-v1.5")) == len(LENGTHS)


def test_an_index_written_in_many_pieces_has_the_same_bytes(tmp_path, monkeypatch):
    made(tmp_path / "whole")
    monkeypatch.setattr("data_tools.corpus.indexed.CHUNK", 4)
    made(tmp_path / "pieces")
    assert (tmp_path / "pieces.idx").read_bytes() == (tmp_path / "whole.idx").read_bytes()


@pytest.mark.parametrize("suffix", [".bin", ".idx"])
def test_a_truncated_or_missing_file_is_refused_and_named(tmp_path, suffix):
    made(tmp_path / "corpus")
    path = tmp_path / f"corpus{suffix}"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"corpus\{suffix}: found"):
        IndexedCorpus(tmp_path / "corpus")
    path.unlink()
    with pytest.raises(InputError, match=rf"corpus\{suffix}: found no such file"):
        IndexedCorpus(tmp_path / "corpus")


def test_an_index_of_another_kind_is_refused(tmp_path):
    made(tmp_path / "corpus")
    (tmp_path / "corpus.idx").write_bytes(b"TNTIDX\x00\x00" * 9)
    with pytest.raises(InputError, match=r"corpus\.idx: found no index of this kind"):
        IndexedCorpus(tmp_path / "corpus")


def test_a_corpus_without_documents_is_refused(tmp_path):
    with CorpusWriter(tmp_path / "corpus", token_dtype(8192)):
        pass
    with pytest.raises(InputError, match="found no documents"):
        IndexedCorpus(tmp_path / "corpus")
