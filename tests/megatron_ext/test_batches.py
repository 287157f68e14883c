"""Rows and batches hold the tokens that the plan names, and train the tokens they should."""

import numpy as np
import pytest

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from megatron_ext.config import run_from_dict
from megatron_ext.data.batches import micro_batches
from megatron_ext.data.sources import Source, open_sources
from megatron_ext.plan.samples import SamplePlan
from tests.support import make_corpus, run_settings

PAIR = np.dtype([("d1", "<i8"), ("d2", "<i8"), ("similarity", "<f4")])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("batches"))


def pair_source(corpus, tmp_path, length):
    np.save(tmp_path / "pairs.npy", np.array([(3, 5, 0.9)], dtype=PAIR))
    settings = run_settings(corpus, steps=1)
    settings["sources"]["real"] |= {"kind": "pairs", "pairs": str(tmp_path)}
    return Source(run_from_dict(settings, where="test").sources["real"], sequence_length=length)


def test_a_pair_trains_d2_and_its_end_and_nothing_else(corpus, tmp_path):
    tokens, mask = pair_source(corpus, tmp_path, 256).row(0)
    documents = IndexedCorpus(corpus / CORPUS_PREFIX)
    d1, d2 = documents.document(3), documents.document(5)
    assert tokens[: len(d1) + len(d2)].tolist() == [*d1, *d2]
    assert tokens[1:][mask == 1].tolist() == d2.tolist()


def test_a_window_that_reaches_the_end_goes_on_at_the_beginning(corpus):
    source = open_sources(run_from_dict(run_settings(corpus, steps=1), where="test"))["real"]
    everything = source.corpus.tokens(0, source.size)
    tokens, mask = source.row(source.size - 5)
    assert tokens.tolist() == [*everything[-5:], *everything[:12]]
    assert mask.all()


@pytest.mark.parametrize(("ranks", "micro_batch"), [(1, 1), (2, 2), (4, 1), (2, 4)])
def test_ranks_and_micro_batch_share_out_the_same_global_batch(corpus, ranks, micro_batch):
    def rows(ranks, micro_batch):
        batch = {"sequence_length": 16, "global_batch": 8, "micro_batch": micro_batch}
        config = run_from_dict(run_settings(corpus, steps=3, batch=batch), where="test")
        sources = open_sources(config)
        plan = SamplePlan.of(config, {name: source.size for name, source in sources.items()})
        batches = [
            micro
            for rank in range(ranks)
            for micro in micro_batches(plan, sources, step=2, config=config, rank=rank, ranks=ranks)
        ]
        return sorted(row for micro in batches for row in micro.tokens_RS.tolist())

    assert rows(ranks, micro_batch) == rows(1, 8)
