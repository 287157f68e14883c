"""The promises of the sample plan, in its own words."""

import random
import time
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data_tools.errors import InputError
from megatron_ext.config import LayoutConfig
from megatron_ext.plan.extent import Extent
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


@given(size=st.integers(LENGTH, 600), seed=SEEDS, epochs=st.integers(1, 3))
def test_an_epoch_covers_each_window_once_and_no_token_twice(size, seed, epochs):
    windows = size // LENGTH
    plan = plan_of(run({"a": windows * epochs}, seed=seed), {"a": size})
    for epoch in range(epochs):
        samples = [plan.locate(i) for i in range(epoch * windows, (epoch + 1) * windows)]
        tokens = [(sample.start + s) % size for sample in samples for s in range(LENGTH)]
        assert {sample.epoch for sample in samples} == {epoch}
        assert len(tokens) == len(set(tokens)) == windows * LENGTH


@given(rows=st.integers(1, 50), epochs=st.integers(1, 3))
def test_an_epoch_of_pairs_covers_each_packed_row_once(rows, epochs):
    plan = SamplePlan.of(pair_run(rows * epochs), {"a": Extent(3 * rows, rows, 20 * rows)})
    for epoch in range(epochs):
        starts = [plan.locate(i).start for i in range(epoch * rows, (epoch + 1) * rows)]
        assert sorted(starts) == list(range(rows))


def test_the_cut_between_windows_moves_from_epoch_to_epoch():
    plan = plan_of(run({"a": 400}), {"a": 100 * LENGTH})
    assert len({plan.locate(i).start % LENGTH for i in range(0, 400, 100)}) > 1


def test_every_epoch_and_every_seed_has_its_own_order():
    def order(seed: int) -> list[int]:
        return [sample.start for sample in samples_of(plan_of(run({"a": 200}, seed=seed), {"a": 100 * LENGTH}))]

    assert order(1)[:100] != order(1)[100:]
    assert order(1) != order(2)


@given(rows=MIXTURES, times=st.integers(2, 5), seed=SEEDS)
def test_extending_the_budget_of_all_sources_in_proportion_changes_no_planned_sample(rows, times, seed):
    planned = plan_of(run(rows, seed=seed))
    extended = plan_of(run({name: count * times for name, count in rows.items()}, seed=seed))
    assert samples_of(extended)[: planned.samples] == samples_of(planned)


@given(rows=st.integers(1, 100), more=st.integers(1, 100))
def test_extending_the_budget_of_a_run_with_one_source_changes_no_planned_sample(rows, more):
    planned, extended = (plan_of(run({"a": count}), {"a": 333}) for count in (rows, rows + more))
    assert samples_of(extended)[:rows] == samples_of(planned)


@given(rows=MIXTURES, more=st.integers(1, 60))
def test_extending_one_source_keeps_the_order_within_every_source(rows, more):
    first = min(rows)
    planned = plan_of(run(rows))
    extended = samples_of(plan_of(run(rows | {first: rows[first] + more})))
    for name in rows:
        kept = [sample for sample in extended if sample.source == name]
        assert kept[: rows[name]] == [sample for sample in samples_of(planned) if sample.source == name]


@given(steps=st.integers(1, 8), micro=st.sampled_from([1, 2, 4, 8]), tensor=st.sampled_from([1, 2]))
def test_layout_and_micro_batch_change_no_sample(steps, micro, tensor):
    one = run({"a": 8 * steps}, global_batch=8)
    other = replace(one, batch=replace(one.batch, micro_batch=micro), layout=LayoutConfig(tensor=tensor, pipeline=2))
    plans = [plan_of(config) for config in (one, other)]
    assert samples_of(plans[0]) == samples_of(plans[1])
    assert plans[0].fingerprint == plans[1].fingerprint


@given(phases=PHASES, batch=BATCHES)
def test_the_global_batch_and_its_ramp_change_only_where_a_step_ends(phases, batch):
    plain, ramped = plan_of(phased(phases)), plan_of(phased(phases, batch=batch))
    assert samples_of(plain) == samples_of(ramped)
    of_steps = [i for step in range(ramped.steps) for i in ramped.samples_of(step)]
    assert of_steps == list(range(ramped.samples))
    assert all(ramped.samples_of(step) for step in range(ramped.steps))


@given(rows=MIXTURES, size=st.integers(LENGTH, 600))
def test_a_source_with_max_epochs_1_is_never_read_twice(rows, size):
    config = run(rows)
    once = replace(config, sources={name: replace(s, max_epochs=1) for name, s in config.sources.items()})
    sizes = dict.fromkeys(rows, size)
    try:
        plan = plan_of(once, sizes)
    except InputError:
        assert max(rows.values()) > size // LENGTH
        return
    read = [(x.source, (x.start + s) % size) for x in samples_of(plan) for s in range(LENGTH)]
    assert len(read) == len(set(read))


@given(phases=PHASES, seed=st.randoms(use_true_random=False))
def test_a_sample_does_not_depend_on_the_samples_asked_for_before(phases, seed):
    plan = plan_of(phased(phases))
    order = list(range(plan.samples))
    seed.shuffle(order)
    located = {i: plan.locate(i) for i in order}
    assert [located[i] for i in range(plan.samples)] == samples_of(plan_of(phased(phases)))


def test_a_sample_of_a_trillion_tokens_is_located_as_fast_as_one_of_a_million():
    def cost(rows: int) -> float:
        plan = plan_of(run({"a": rows, "b": rows}), {"a": rows, "b": 7 * rows})
        asked = [random.Random(1).randrange(plan.samples) for _ in range(1000)]
        best = 1.0
        for _ in range(5):
            started = time.process_time()
            for i in asked:
                plan.locate(i)
            best = min(best, time.process_time() - started)
        return best

    assert cost(10**12 // LENGTH) < 4 * cost(10**6 // LENGTH)


def test_the_order_of_sources_in_the_file_changes_nothing():
    one, other = (plan_of(run(rows), {"a": 100, "b": 90}) for rows in ({"a": 5, "b": 9}, {"b": 9, "a": 5}))
    assert one == other


@given(rows=MIXTURES, other=MIXTURES)
def test_plans_that_differ_have_different_fingerprints(rows, other):
    assume(rows != other)
    one, two = (plan_of(run(x)) for x in (rows, other))
    assert one.fingerprint != two.fingerprint


def test_the_samples_of_any_steps_can_be_listed_afterwards():
    plan = plan_of(run({"a": 12}, global_batch=4))
    assert list(plan.consumed(1, 2)) == [(1, i, plan.locate(i)) for i in range(4, 8)]
    with pytest.raises(InputError, match="0:3"):
        plan.consumed(2, 4)


def test_a_sample_beyond_the_run_is_refused():
    plan = plan_of(run({"a": 12}), {"a": 100})
    for i in (-1, 12):
        with pytest.raises(IndexError):
            plan.locate(i)


def test_a_released_order_never_changes():
    """A run that goes on after an upgrade reads the same rows; a change of these numbers needs a new ORDER."""
    plan = plan_of(run({"a": 4, "b": 2}), {"a": 100, "b": 50})
    assert [(x.source, x.epoch, x.start) for x in samples_of(plan)] == RELEASED


RELEASED = [("a", 0, 65), ("b", 0, 32), ("a", 0, 37), ("a", 0, 13), ("b", 0, 42), ("a", 0, 45)]
