"""The sample plan looked up backwards: every place of a source leads to the samples that read it, and to no other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from megatron_ext.config import SourceConfig
from megatron_ext.plan.extent import Extent
from megatron_ext.plan.inverse import NOWHERE, InversePlan
from megatron_ext.plan.samples import SamplePlan
from tests.megatron_ext.plan.support import (
    BATCHES,
    LENGTH,
    MIXTURES,
    PHASES,
    SEEDS,
    pair_run,
    phased,
    plan_of,
    run,
    samples_of,
)

SIZES = st.integers(LENGTH, 300)


@given(phases=PHASES, size=SIZES)
def test_every_sample_is_found_again_from_where_it_comes_from(phases, size):
    plan = plan_of(phased(phases), size)
    inverse = InversePlan(plan)
    for i, sample in enumerate(samples_of(plan)):
        assert inverse.where(sample.source, sample.start, sample.epoch) == i


@given(rows=st.integers(1, 50), asked=st.integers(1, 120))
def test_every_sample_of_packed_rows_is_found_again(rows, asked):
    plan = SamplePlan.of(pair_run(asked), {"a": Extent(3 * rows, rows, 20 * rows)})
    inverse = InversePlan(plan)
    assert [inverse.where("a", sample.start, sample.epoch) for sample in samples_of(plan)] == list(range(asked))


@given(size=SIZES, asked=st.integers(1, 80), seed=SEEDS, order=st.sampled_from(["shuffled", "in_order"]))
def test_every_token_of_a_window_leads_to_the_sample_that_holds_it_and_a_token_of_no_window_to_none(
    size, asked, seed, order
):
    source = SourceConfig(corpus=Path("a"), tokens=asked * LENGTH, order=order)
    plan = plan_of(replace(run({"a": asked}, seed=seed), sources={"a": source}), size)
    inverse, tokens = InversePlan(plan), np.arange(size)
    expected = {}
    for i, sample in enumerate(samples_of(plan)):
        expected |= {(sample.epoch, (sample.start + s) % size): i for s in range(LENGTH)}
    for epoch in inverse.epochs("a"):
        found = inverse.samples_of_tokens("a", tokens, epoch)
        assert found.tolist() == [expected.get((epoch, token), NOWHERE) for token in tokens.tolist()]


@given(rows=MIXTURES, size=SIZES)
def test_a_row_that_the_run_does_not_reach_has_no_sample(rows, size):
    plan = plan_of(run(rows), size)
    inverse = InversePlan(plan)
    for name, read in rows.items():
        epochs = inverse.epochs(name)
        in_all = np.concatenate([inverse.samples_of_rows(name, np.arange(size // LENGTH), epoch) for epoch in epochs])
        assert (in_all != NOWHERE).sum() == read
        beyond = inverse.samples_of_rows(name, np.arange(size // LENGTH), epochs.stop)
        assert (beyond == NOWHERE).all()


@given(phases=PHASES, batch=BATCHES)
def test_samples_lead_to_their_steps_and_steps_to_the_tokens_before_them(phases, batch):
    plan = plan_of(phased(phases, batch=batch))
    inverse = InversePlan(plan)
    expected = [step for step in range(plan.steps) for _ in plan.samples_of(step)]
    assert inverse.steps_of(np.arange(plan.samples)).tolist() == expected
    before = inverse.tokens_before(np.arange(plan.steps + 1))
    assert before.tolist() == [plan.samples_of(step).start * LENGTH for step in range(plan.steps + 1)]


@given(seed=SEEDS, asked=st.lists(st.integers(0, 10**15 - 1), min_size=1, max_size=20))
def test_a_plan_of_any_size_is_answered_without_a_scan(seed, asked):
    """So many rows of so uneven a ratio that their products do not fit into 64 bits."""
    rows = {"a": 3 * 10**14 + 1, "b": 7 * 10**14}
    plan = plan_of(run(rows, seed=seed), {"a": 10**14 * LENGTH, "b": 10**15 * LENGTH})
    inverse = InversePlan(plan)
    for i in asked:
        sample = plan.locate(i)
        assert inverse.where(sample.source, sample.start, sample.epoch) == i
