"""The promises of the sample plan, in its own words."""

import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data_tools.errors import InputError
from megatron_ext.config import BatchConfig, LayoutConfig, ModelConfig, RunConfig, ScheduleConfig, SourceConfig
from megatron_ext.plan.extent import Extent
from megatron_ext.plan.samples import SamplePlan

LENGTH = 8
MODEL = ModelConfig(layers=2, hidden=64, ffn=128, heads=4, kv_heads=2, vocabulary=512)
MIXTURES = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 60), min_size=1)
SEEDS = st.integers(0, 2**63 - 1)


def run(rows: dict[str, int], *, seed: int = 1, micro_batch: int = 1, global_batch: int | None = None) -> RunConfig:
    """A run of so many rows from each source; by default the whole of it is one step."""
    return RunConfig(
        model=MODEL,
        sources={name: SourceConfig(corpus=Path(name), tokens=count * LENGTH) for name, count in rows.items()},
        batch=BatchConfig(
            sequence_length=LENGTH, global_batch=global_batch or sum(rows.values()), micro_batch=micro_batch
        ),
        schedule=ScheduleConfig(peak_lr=0.01),
        seed=seed,
    )


def pair_run(rows: int) -> RunConfig:
    source = SourceConfig(corpus=Path("a"), tokens=rows * LENGTH, kind="pairs", pairs=Path("p"))
    return replace(run({"a": rows}), sources={"a": source})


def windows(size: int) -> Extent:
    return Extent.of_windows(size, LENGTH)


def same(names, size: int) -> dict[str, Extent]:
    return dict.fromkeys(names, windows(size))


def samples_of(plan: SamplePlan) -> list:
    return [plan.locate(i) for i in range(plan.samples)]


@given(size=st.integers(LENGTH, 600), seed=SEEDS, epochs=st.integers(1, 3))
def test_an_epoch_covers_each_window_once_and_no_token_twice(size, seed, epochs):
    count = size // LENGTH
    plan = SamplePlan.of(run({"a": count * epochs}, seed=seed), {"a": windows(size)})
    for epoch in range(epochs):
        samples = [plan.locate(i) for i in range(epoch * count, (epoch + 1) * count)]
        tokens = [(sample.start + s) % size for sample in samples for s in range(LENGTH)]
        assert {sample.epoch for sample in samples} == {epoch}
        assert len(tokens) == len(set(tokens)) == count * LENGTH


@given(pairs=st.integers(1, 50), epochs=st.integers(1, 3))
def test_an_epoch_of_pairs_covers_each_packed_row_once(pairs, epochs):
    plan = SamplePlan.of(pair_run(pairs * epochs), {"a": Extent(3 * pairs, pairs, pairs * LENGTH)})
    for epoch in range(epochs):
        starts = [plan.locate(i).start for i in range(epoch * pairs, (epoch + 1) * pairs)]
        assert sorted(starts) == list(range(pairs))


def test_the_cut_between_windows_moves_from_epoch_to_epoch():
    plan = SamplePlan.of(run({"a": 400}), {"a": windows(100 * LENGTH)})
    assert len({plan.locate(i).start % LENGTH for i in range(0, 400, 100)}) > 1


def test_every_epoch_and_every_seed_has_its_own_order():
    def order(seed: int) -> list[int]:
        return [
            sample.start
            for sample in samples_of(SamplePlan.of(run({"a": 200}, seed=seed), {"a": windows(100 * LENGTH)}))
        ]

    assert order(1)[:100] != order(1)[100:]
    assert order(1) != order(2)


@given(rows=MIXTURES, times=st.integers(2, 5), seed=SEEDS)
def test_extending_the_budget_of_all_sources_in_proportion_changes_no_planned_sample(rows, times, seed):
    sizes = same(rows, 100)
    planned = SamplePlan.of(run(rows, seed=seed), sizes)
    extended = SamplePlan.of(run({name: count * times for name, count in rows.items()}, seed=seed), sizes)
    assert samples_of(extended)[: planned.samples] == samples_of(planned)


@given(rows=st.integers(1, 100), more=st.integers(1, 100))
def test_extending_the_budget_of_a_run_with_one_source_changes_no_planned_sample(rows, more):
    planned, extended = (SamplePlan.of(run({"a": count}), {"a": windows(333)}) for count in (rows, rows + more))
    assert samples_of(extended)[:rows] == samples_of(planned)


@given(rows=MIXTURES, more=st.integers(1, 60))
def test_extending_one_source_keeps_the_order_within_every_source(rows, more):
    sizes = same(rows, 100)
    first = min(rows)
    planned = SamplePlan.of(run(rows), sizes)
    extended = samples_of(SamplePlan.of(run(rows | {first: rows[first] + more}), sizes))
    for name in rows:
        kept = [sample for sample in extended if sample.source == name]
        assert kept[: rows[name]] == [sample for sample in samples_of(planned) if sample.source == name]


@given(steps=st.integers(1, 8), micro=st.sampled_from([1, 2, 4, 8]), tensor=st.sampled_from([1, 2]))
def test_layout_and_micro_batch_change_no_sample(steps, micro, tensor):
    one = run({"a": 8 * steps}, global_batch=8)
    other = replace(one, batch=replace(one.batch, micro_batch=micro), layout=LayoutConfig(tensor=tensor, pipeline=2))
    plans = [SamplePlan.of(config, {"a": windows(100)}) for config in (one, other)]
    assert samples_of(plans[0]) == samples_of(plans[1])
    assert plans[0].fingerprint == plans[1].fingerprint


def test_the_global_batch_changes_only_where_a_step_ends():
    small, large = (SamplePlan.of(run({"a": 32}, global_batch=batch), {"a": windows(100)}) for batch in (4, 16))
    assert samples_of(small) == samples_of(large)
    assert (small.steps, large.steps) == (8, 2)
    assert small.fingerprint != large.fingerprint


@given(rows=MIXTURES, size=st.integers(LENGTH, 600))
def test_a_source_with_max_epochs_1_is_never_read_twice(rows, size):
    config = run(rows)
    once = replace(config, sources={name: replace(s, max_epochs=1) for name, s in config.sources.items()})
    sizes = same(rows, size)
    try:
        plan = SamplePlan.of(once, sizes)
    except InputError:
        assert max(rows.values()) > size // LENGTH
        return
    read = [(x.source, (x.start + s) % size) for x in samples_of(plan) for s in range(LENGTH)]
    assert len(read) == len(set(read))


@given(rows=MIXTURES)
def test_each_source_gets_its_rows_and_never_lags_its_share_by_as_much_as_its_number_of_rivals(rows):
    plan = SamplePlan.of(run(rows), same(rows, 100))
    got = dict.fromkeys(rows, 0)
    for turn, sample in enumerate(samples_of(plan), start=1):
        got[sample.source] += 1
        for name, count in rows.items():
            assert abs(got[name] - turn * count / plan.samples) <= max(1, len(rows) - 1)
    assert got == rows


@given(rows=MIXTURES, seed=st.randoms(use_true_random=False))
def test_a_sample_does_not_depend_on_the_samples_asked_for_before(rows, seed):
    plan = SamplePlan.of(run(rows), same(rows, 100))
    order = list(range(plan.samples))
    seed.shuffle(order)
    located = {i: plan.locate(i) for i in order}
    assert [located[i] for i in range(plan.samples)] == samples_of(plan)


def test_a_sample_of_a_trillion_tokens_is_located_as_fast_as_one_of_a_million():
    def cost(rows: int) -> float:
        plan = SamplePlan.of(run({"a": rows, "b": rows}), {"a": windows(8 * rows), "b": windows(56 * rows)})
        asked = [random.Random(1).randrange(plan.samples) for _ in range(1000)]
        best = 1.0
        for _ in range(5):
            started = time.perf_counter()
            for i in asked:
                plan.locate(i)
            best = min(best, time.perf_counter() - started)
        return best

    assert cost(10**12 // LENGTH) < 4 * cost(10**6 // LENGTH)


def test_the_order_of_sources_in_the_file_changes_nothing():
    one, other = (
        SamplePlan.of(run(rows), {"a": windows(100), "b": windows(90)}) for rows in ({"a": 5, "b": 9}, {"b": 9, "a": 5})
    )
    assert one == other


@given(rows=MIXTURES, other=MIXTURES)
def test_plans_that_differ_have_different_fingerprints(rows, other):
    assume(rows != other)
    one, two = (SamplePlan.of(run(x), same(x, 100)) for x in (rows, other))
    assert one.fingerprint != two.fingerprint


def test_the_samples_of_any_steps_can_be_listed_afterwards():
    plan = SamplePlan.of(run({"a": 12}, global_batch=4), {"a": windows(100)})
    assert list(plan.consumed(1, 2)) == [(1, i, plan.locate(i)) for i in range(4, 8)]
    with pytest.raises(InputError, match="0:3"):
        plan.consumed(2, 4)


def test_a_sample_beyond_the_run_is_refused():
    plan = SamplePlan.of(run({"a": 12}), {"a": windows(100)})
    for i in (-1, 12):
        with pytest.raises(IndexError):
            plan.locate(i)


def test_a_released_order_never_changes():
    """A run that goes on after an upgrade reads the same rows; a change of these numbers needs a new ORDER."""
    plan = SamplePlan.of(run({"a": 4, "b": 2}), {"a": windows(100), "b": windows(50)})
    assert [(x.source, x.epoch, x.start) for x in samples_of(plan)] == RELEASED


RELEASED = [("a", 0, 65), ("b", 0, 32), ("a", 0, 37), ("a", 0, 13), ("b", 0, 42), ("a", 0, 45)]
