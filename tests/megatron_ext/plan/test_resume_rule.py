"""A run may go on with another future, never with another past."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_ext.config import BatchConfig, RampStage
from tests.megatron_ext.plan.support import BATCHES, LENGTH, MIXTURES, PHASES, phased, plan_of, run, samples_of


def record(plan) -> dict:
    """A description as it comes back from a file."""
    return json.loads(json.dumps(plan.describe()))


@given(phases=PHASES, batch=BATCHES, more=MIXTURES, data=st.data())
def test_a_run_may_go_on_with_a_new_phase(phases, batch, more, data):
    begun = plan_of(phased(phases, batch=batch))
    step = data.draw(st.integers(0, begun.steps - 1))
    longer = plan_of(phased([*phases, (more, None)], batch=batch))
    assert longer.agrees(record(begun), samples=begun.samples_of(step).start, step=step) is None


def test_a_stage_of_the_ramp_that_the_one_before_has_gone_past_has_no_step():
    ramp = (RampStage(until_tokens=LENGTH, global_batch=5), RampStage(until_tokens=4 * LENGTH, global_batch=1))
    batch = BatchConfig(sequence_length=LENGTH, global_batch=2, ramp=ramp)
    assert [batch.first_sample(step) for step in range(4)] == [0, 5, 7, 9]
    assert batch.steps(9) == 3


@given(rows=MIXTURES, times=st.integers(2, 4), step=st.integers(0, 8))
def test_a_run_may_go_on_with_a_larger_budget(rows, times, step):
    begun = plan_of(run(rows, global_batch=1))
    longer = plan_of(run({name: times * count for name, count in rows.items()}, global_batch=1))
    step = min(step, begun.steps)
    assert longer.agrees(record(begun), samples=step, step=step) is None


def test_a_run_may_go_on_with_another_global_batch_from_here_on():
    begun = plan_of(run({"a": 100}, global_batch=4))
    ramp = BatchConfig(
        sequence_length=LENGTH, global_batch=8, ramp=(RampStage(until_tokens=40 * LENGTH, global_batch=4),)
    )
    changed = plan_of(replace(run({"a": 100}), batch=ramp))
    assert changed.agrees(record(begun), samples=40, step=10) is None
    assert changed.agrees(record(begun), samples=44, step=11) == (
        "Step 11 ended after sample 44 and now ends after sample 48."
    )


@given(one=PHASES, other=PHASES, batches=st.tuples(BATCHES, BATCHES), data=st.data())
def test_plans_that_agree_have_the_same_past(one, other, batches, data):
    begun, changed = (plan_of(phased(p, batch=b)) for p, b in zip((one, other), batches, strict=True))
    step = data.draw(st.integers(0, begun.steps))
    samples = begun.samples_of(step).start
    if step and changed.agrees(record(begun), samples=samples, step=step) is None:
        assert samples_of(changed)[:samples] == samples_of(begun)[:samples]
        assert [changed.samples_of(s) for s in range(step)] == [begun.samples_of(s) for s in range(step)]


def test_a_run_may_not_go_on_after_a_partial_step_as_if_it_had_been_whole():
    """The step that followed would skip the samples that the partial one lacked."""
    begun, longer = (plan_of(run({"a": rows}, global_batch=8)) for rows in (20, 40))
    assert longer.agrees(record(begun), samples=16, step=2) is None
    assert longer.agrees(record(begun), samples=20, step=3) == (
        "Step 3 ended after sample 20 and now ends after sample 24."
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seed": 2}, "The seed was 1 and is now 2."),
        ({"rows": {"a": 10, "b": 9}}, "The mixture of phase 1 was 2 a : 1 b and is now 10 a : 9 b."),
        ({"rows": {"a": 2, "b": 1}}, "The run was trained on 6 samples and now ends after 3."),
        ({"size": 200}, "The size of source a was 100 and is now 200."),
    ],
)
def test_a_changed_past_is_named(changes, sentence):
    begun = plan_of(run({"a": 10, "b": 5}, global_batch=3))
    config = run(changes.get("rows", {"a": 10, "b": 5}), seed=changes.get("seed", 1), global_batch=3)
    changed = plan_of(config, changes.get("size", 100))
    assert changed.agrees(record(begun), samples=6, step=2) == sentence
    assert changed.agrees(record(begun), samples=0, step=0) is None


def test_a_source_that_was_not_read_yet_may_change():
    begun, changed = (
        plan_of(phased([({"a": 9}, None), ({"b": 9}, None)]), {"a": 100, "b": size}) for size in (100, 200)
    )
    assert changed.agrees(record(begun), samples=8, step=2) is None
    assert changed.agrees(record(begun), samples=12, step=3) is not None


@given(rows=MIXTURES, rounds=st.integers(1, 3))
def test_phases_that_go_on_as_one_are_described_as_one(rows, rounds):
    whole = plan_of(run({name: 4 * count for name, count in rows.items()}, global_batch=4))
    parts = [{name: times * count for name, count in rows.items()} for times in (rounds, 4 - rounds)]
    split = plan_of(phased([(part, None) for part in parts]))
    assert samples_of(split) == samples_of(whole)
    assert split.fingerprint == whole.fingerprint
