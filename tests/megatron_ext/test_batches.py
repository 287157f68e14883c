"""Batches hold the samples that the plan names, shared out among ranks, whatever their number."""

import numpy as np
import pytest

from megatron_ext.config import run_from_dict
from megatron_ext.data.batches import micro_batches, stack
from megatron_ext.data.rows import filling_row, row_of
from megatron_ext.data.sources import open_sources
from megatron_ext.plan.samples import SamplePlan
from tests.support import make_corpus, run_settings

RAMP = [{"until_tokens": 128, "global_batch": 4}]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("batches"))


def opened(corpus, *, rows, batch):
    settings = run_settings(corpus, steps=1, batch={"sequence_length": 16, "global_batch": 8} | batch)
    settings["sources"]["real"]["tokens"] = 16 * rows
    config = run_from_dict(settings, where="test")
    sources = open_sources(config)
    return config, sources, SamplePlan.of(config, {name: source.extent for name, source in sources.items()})


def batches_of(corpus, *, step, ranks, micro_batch, rows=24, **batch):
    """The micro batches of a step, rank by rank."""
    config, sources, plan = opened(corpus, rows=rows, batch={"micro_batch": micro_batch, **batch})
    return [
        list(micro_batches(plan, sources, step=step, config=config, rank=rank, ranks=ranks)) for rank in range(ranks)
    ]


def trained_rows(batches):
    """The rows of a step that are no filling, whichever rank has them."""
    return sorted(
        tuple(row)
        for rank in batches
        for micro in rank
        for row, source in zip(micro.tokens_RS.tolist(), micro.source_R.tolist(), strict=True)
        if source >= 0
    )


@pytest.mark.parametrize(("ranks", "micro_batch"), [(1, 1), (2, 2), (4, 1), (2, 4)])
@pytest.mark.parametrize("ramp", [[], RAMP], ids=["plain", "ramp"])
def test_ranks_and_micro_batch_share_out_the_same_global_batch(corpus, ranks, micro_batch, ramp):
    for step in range(3):
        shared = batches_of(corpus, step=step, ranks=ranks, micro_batch=micro_batch, ramp=ramp)
        assert trained_rows(shared) == trained_rows(batches_of(corpus, step=step, ranks=1, micro_batch=1, ramp=ramp))


@pytest.mark.parametrize(("ranks", "micro_batch"), [(1, 1), (2, 2), (4, 1), (2, 4)])
def test_the_listed_samples_of_steps_are_what_their_batches_read(corpus, ranks, micro_batch):
    """With a ramp, and a last step that is partial."""
    _, sources, plan = opened(corpus, rows=21, batch={"ramp": RAMP})
    assert [len(plan.samples_of(step)) for step in range(plan.steps)] == [4, 4, 8, 5]
    for step in range(plan.steps):
        listed = [tuple(sources[s.source].row(s).tokens_S.tolist()) for _, _, s in plan.consumed(step, step + 1)]
        read = batches_of(corpus, step=step, ranks=ranks, micro_batch=micro_batch, rows=21, ramp=RAMP)
        assert trained_rows(read) == sorted(listed)


def test_a_partial_last_batch_gives_every_rank_as_many_whole_micro_batches(corpus):
    batches = batches_of(corpus, step=2, ranks=2, micro_batch=2, rows=21)
    assert [[len(micro.tokens_RS) for micro in rank] for rank in batches] == [[2, 2], [2, 2]]
    filling = [micro.loss_mask_RS[micro.source_R < 0] for rank in batches for micro in rank]
    assert sum(len(mask) for mask in filling) == 3
    assert not any(mask.any() for mask in filling)


def test_stretches_are_given_only_where_a_row_of_the_batch_has_some():
    row, fill = row_of(np.arange(9)), filling_row(8)
    assert stack([row, fill], [0, -1]).document_RS is None
    halves = np.repeat([0, 4], 4).astype(np.int32)
    two = type(row)(row.tokens_S, row.labels_S, row.loss_mask_S, row.positions_S - halves, halves)
    batch = stack([row, two], [0, 1])
    assert batch.document_RS.tolist() == [[0] * 8, halves.tolist()]
    assert batch.source_R.tolist() == [0, 1]
