"""Pairs in packed rows: each once an epoch, only d2 trained, none seen by another."""

from collections import Counter

import numpy as np
import pytest

from data_tools.errors import InputError
from megatron_ext.config import run_from_dict
from megatron_ext.data.sources import open_source
from megatron_ext.plan.samples import Sample
from tests.support import make_corpus, run_settings

PAIR = np.dtype([("d1", "<i8"), ("d2", "<i8"), ("similarity", "<f4")])
LENGTH = 512


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("pairs"))


def open_pairs(corpus, folder, pairs, *, length=LENGTH):
    np.save(folder / "pairs.npy", np.array([(d1, d2, 0.9) for d1, d2 in pairs], dtype=PAIR))
    settings = run_settings(corpus, steps=1)
    settings["batch"] = {"sequence_length": length, "global_batch": 1}
    settings["sources"] = {"a": {"corpus": str(corpus), "tokens": length, "kind": "pairs", "pairs": str(folder)}}
    return open_source(run_from_dict(settings, where="test"), "a")


@pytest.fixture
def many(corpus, tmp_path):
    """All pairs of different documents among 12."""
    pairs = [(d1, d2) for d1 in range(12) for d2 in range(12) if d1 != d2]
    return pairs, open_pairs(corpus, tmp_path, pairs)


def pairs_in(source, sample):
    """What a packed row holds, read back from its tokens: (inputs and last label, trained labels) of each stretch."""
    row = source.row(sample)
    edges = [*np.flatnonzero(np.diff(row.document_S, prepend=-1)), LENGTH]
    for first, stop in zip(edges, edges[1:], strict=False):
        mask = row.loss_mask_S[first:stop]
        if mask.any():
            joined = [*row.tokens_S[first:stop].tolist(), int(row.labels_S[stop - 1])]
            yield joined, row.labels_S[first:stop][mask == 1].tolist()


def test_a_pair_trains_d2_and_its_end_and_nothing_else(corpus, tmp_path):
    source = open_pairs(corpus, tmp_path, [(3, 5)])
    d1, d2 = source.corpus.document(3).tolist(), source.corpus.document(5).tolist()
    assert list(pairs_in(source, Sample("a", 0, 0))) == [([*d1, *d2], d2)]


def test_each_pair_is_found_in_the_row_that_it_fills_a_part_of(many):
    pairs, source = many
    for epoch in range(2):
        rows = source.rows_of(np.arange(len(pairs)), epoch).tolist()
        for pair, row in zip(pairs, rows, strict=True):
            documents = source.documents(Sample("a", epoch, row))
            assert pair in list(zip(documents[::2], documents[1::2], strict=True))


def test_each_pair_occurs_once_in_every_epoch(many):
    pairs, source = many
    document = [source.corpus.document(number).tolist() for number in range(12)]
    expected = Counter(((*document[d1], *document[d2]), tuple(document[d2])) for d1, d2 in pairs)
    for epoch in range(2):
        found = (pairs_in(source, Sample("a", epoch, row)) for row in range(source.extent.rows))
        assert Counter((tuple(joined), tuple(trained)) for row in found for joined, trained in row) == expected


def test_a_pair_has_other_companions_in_another_epoch(many):
    _, source = many

    def rows(epoch):
        return {tuple(source.documents(Sample("a", epoch, row))) for row in range(source.extent.rows)}

    assert rows(0) == rows(0)
    assert len(rows(0) & rows(1)) < source.extent.rows / 2, "rare lengths may meet again by chance, most may not"


def test_positions_start_anew_in_each_pair_and_padding_is_masked(many):
    _, source = many
    for number in range(source.extent.rows):
        row = source.row(Sample("a", 0, number))
        assert (row.positions_S == np.arange(LENGTH) - row.document_S).all()
        assert (row.positions_S[row.document_S] == 0).all()
    real = sum(int((source.row(Sample("a", 0, n)).tokens_S != 0).sum()) for n in range(source.extent.rows))
    assert real <= source.extent.tokens <= source.extent.rows * LENGTH


def test_the_documents_of_a_row_are_those_of_its_pairs(corpus, tmp_path):
    source = open_pairs(corpus, tmp_path, [(3, 5), (7, 2)])
    found = source.documents(Sample("a", 0, 0))
    assert sorted(zip(found[::2], found[1::2], strict=True)) == [(3, 5), (7, 2)]


def test_a_pair_that_fits_no_row_is_refused_by_file_and_number(corpus, tmp_path):
    source = open_pairs(corpus, tmp_path, [(3, 5)])
    tokens = len(source.corpus.document(3)) + len(source.corpus.document(5))
    assert open_pairs(corpus, tmp_path, [(3, 5)], length=tokens - 1).extent.rows == 1
    with pytest.raises(InputError, match=rf"pairs.npy, pair 0: found {tokens} tokens, expected at most {tokens - 1}"):
        open_pairs(corpus, tmp_path, [(3, 5)], length=tokens - 2)


def test_a_pair_of_another_corpus_is_refused(corpus, tmp_path):
    with pytest.raises(InputError, match=r"pairs.npy, pair 1: found a document that the corpus does not have"):
        open_pairs(corpus, tmp_path, [(3, 5), (3, 40)])
