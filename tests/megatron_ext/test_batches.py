"""Rows and batches hold the tokens that the plan names, and train the tokens they should."""

import numpy as np
import pytest

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.errors import InputError
from megatron_ext.config import run_from_dict
from megatron_ext.data.batches import FILLING, micro_batches
from megatron_ext.data.sources import open_sources
from megatron_ext.plan.samples import Sample, SamplePlan
from tests.support import make_corpus, run_settings

PAIR = np.dtype([("d1", "<i8"), ("d2", "<i8"), ("similarity", "<f4")])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("batches"))


def opened(corpus, *, length=16, **source):
    settings = run_settings(corpus, steps=1, batch={"sequence_length": length, "global_batch": 8})
    settings["sources"]["real"] |= {"tokens": 8 * length} | source
    return open_sources(run_from_dict(settings, where="test"))["real"]


def packed(corpus, folder, pairs, *, length=512):
    np.save(folder / "pairs.npy", np.array([(*pair, 0.9) for pair in pairs], dtype=PAIR))
    return opened(corpus, length=length, kind="pairs", pairs=str(folder))


def test_a_pair_trains_d2_and_its_end_and_nothing_else(corpus, tmp_path):
    row = packed(corpus, tmp_path, [(3, 5)]).row(Sample("real", 0, 0))
    documents = IndexedCorpus(corpus / CORPUS_PREFIX)
    d1, d2 = documents.document(3), documents.document(5)
    assert [*row.tokens_S[: len(d1) + len(d2) - 1], d2[-1]] == [*d1, *d2]
    assert row.labels_S[row.loss_mask_S == 1].tolist() == d2.tolist()


def test_every_pair_comes_once_in_an_epoch_with_other_companions_in_the_next(corpus, tmp_path):
    pairs = [(one, other) for one in range(40) for other in range(40) if (one + other) % 7 == 0]
    source = packed(corpus, tmp_path, pairs)

    def epoch(number):
        rows = [source.documents(Sample("real", number, row)) for row in range(source.extent.rows)]
        return [sorted(zip(row[::2], row[1::2], strict=True)) for row in rows]

    for number in (0, 1):
        assert sorted(pair for row in epoch(number) for pair in row) == sorted(pairs)
    assert epoch(0) != epoch(1)


def test_pairs_in_a_row_never_see_one_another_and_begin_at_position_0(corpus, tmp_path):
    pairs = [(number, number + 1) for number in range(39)]
    row = packed(corpus, tmp_path, pairs).row(Sample("real", 0, 0))
    begins = np.flatnonzero(row.positions_S == 0)
    assert len(begins) > 2
    assert (row.document_S == begins[np.searchsorted(begins, np.arange(512), side="right") - 1]).all()
    assert (row.positions_S == np.arange(512) - row.document_S).all()


def test_a_pair_that_does_not_fit_is_refused_and_named(corpus, tmp_path):
    with pytest.raises(InputError, match=r"pairs\.npy, pair 0: .*at most 17"):
        packed(corpus, tmp_path, [(3, 5)], length=16)


def test_a_window_that_reaches_the_end_goes_on_at_the_beginning(corpus):
    source = opened(corpus)
    everything = source.corpus.tokens(0, source.corpus.token_count)
    row = source.row(Sample("real", 0, len(everything) - 5))
    assert row.tokens_S.tolist() == [*everything[-5:], *everything[:11]]
    assert row.labels_S.tolist() == [*everything[-4:], *everything[:12]]
    assert row.loss_mask_S.all()
    assert source.documents(Sample("real", 0, len(everything) - 5)) == [len(source.corpus) - 1, 0]


def test_documents_of_a_window_are_kept_apart_where_asked_for(corpus):
    source = opened(corpus, length=128, across_documents=False)
    lengths = [int(length) for length in source.corpus.lengths]
    row = source.row(Sample("real", 0, lengths[0] - 3))
    assert np.flatnonzero(row.positions_S == 0).tolist()[:3] == [0, 3, 3 + lengths[1]]
    assert source.documents(Sample("real", 0, lengths[0] - 3))[:3] == [0, 1, 2]


def test_a_partial_last_step_is_filled_up_with_rows_that_train_nothing(corpus):
    settings = run_settings(corpus, steps=1)
    settings["sources"]["real"]["tokens"] = 13 * 16
    config = run_from_dict(settings, where="test")
    sources = open_sources(config)
    plan = SamplePlan.of(config, {name: source.extent for name, source in sources.items()})
    assert config.steps == 2
    batches = [
        batch for rank in (0, 1) for batch in micro_batches(plan, sources, step=1, config=config, rank=rank, ranks=2)
    ]
    assert [len(batch.tokens_RS) for batch in batches] == [2, 2, 2, 2]
    trained = [
        (batch.source_R[row] == FILLING, float(batch.loss_mask_RS[row].sum())) for batch in batches for row in (0, 1)
    ]
    assert sorted(mask for _, mask in trained) == [0.0] * 3 + [16.0] * 5
    assert all(bool(filling) == (mask == 0) for filling, mask in trained)


@pytest.mark.parametrize(("ranks", "micro_batch"), [(1, 1), (2, 2), (4, 1), (2, 4)])
def test_ranks_and_micro_batch_share_out_the_same_global_batch(corpus, ranks, micro_batch):
    def rows(ranks, micro_batch):
        batch = {"sequence_length": 16, "global_batch": 8, "micro_batch": micro_batch}
        config = run_from_dict(run_settings(corpus, steps=3, batch=batch), where="test")
        sources = open_sources(config)
        plan = SamplePlan.of(config, {name: source.extent for name, source in sources.items()})
        batches = [
            micro
            for rank in range(ranks)
            for micro in micro_batches(plan, sources, step=2, config=config, rank=rank, ranks=ranks)
        ]
        return sorted(row for micro in batches for row in micro.tokens_RS.tolist())

    assert rows(ranks, micro_batch) == rows(1, 8)
