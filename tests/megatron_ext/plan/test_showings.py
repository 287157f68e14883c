"""Which samples begin with an injected passage, and which changes of a schedule a run that has begun may take."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_ext.config import BatchConfig, KnowledgeConfig, RampStage
from megatron_ext.config.knowledge import GroupsConfig, ShowingSteps
from megatron_ext.plan.showings import Showing
from tests.megatron_ext.plan.support import LENGTH, plan_of, run, samples_of

GROUPS = {"paraphrased": "0-1", "duplicated": "2", "once": "4"}


def shown(steps, *, rows=100, batch=None, **groups):
    """A plan of 4 rows a step that shows facts."""
    facts = KnowledgeConfig(
        facts=Path("facts.json"), steps=ShowingSteps(at=tuple(steps)), groups=GroupsConfig(**(groups or GROUPS))
    )
    config = run({"a": rows, "b": rows}, global_batch=4)
    return plan_of(replace(config, knowledge=facts, batch=batch or config.batch))


NONE = plan_of(run({"a": 100, "b": 100}, global_batch=4))
"""The same run without facts."""


def test_passages_take_the_first_rows_of_their_steps_by_their_number():
    assert dict(shown([1, 3]).showings) == {
        4: Showing(1, 0, 0), 5: Showing(1, 1, 0), 6: Showing(1, 2, 0), 7: Showing(1, 4, 0),
        12: Showing(3, 0, 1), 13: Showing(3, 1, 1), 14: Showing(3, 2, 0),
    }  # fmt: skip


def test_facts_change_no_sample():
    assert samples_of(shown([1, 3])) == samples_of(NONE)


def test_a_ramp_moves_passages_with_their_steps():
    ramp = BatchConfig(
        sequence_length=LENGTH, global_batch=8, ramp=(RampStage(until_tokens=8 * LENGTH, global_batch=4),)
    )
    plan = shown([1, 2, 3], batch=ramp, once="0", duplicated="1")
    # Steps begin at samples 0, 4, 8 and 16; passage 1 has passage 0 before it in the first of them only.
    assert {showing.step: i for i, showing in plan.showings.items() if showing.passage == 1} == {1: 5, 2: 8, 3: 16}


def test_a_plan_says_what_each_step_shows():
    described = shown([1, 3]).describe()
    assert described["knowledge"] == {"1": "0-2, 4", "3": "0-1 paraphrase 1, 2"}
    assert "knowledge" not in plan_of(run({"a": 100})).describe()


def test_plans_that_show_other_facts_have_other_fingerprints():
    plans = [
        shown([1, 3]),
        shown([1, 4]),
        shown([1, 3], duplicated="0-2", once="4"),
        plan_of(run({"a": 100, "b": 100})),
    ]
    assert len({plan.fingerprint for plan in plans}) == len(plans)


@given(
    one=st.sets(st.integers(0, 20), min_size=1), other=st.sets(st.integers(0, 20), min_size=1), step=st.integers(0, 21)
)
def test_a_run_may_go_on_with_another_schedule_from_here_on_and_with_no_other_past(one, other, step):
    begun, changed = (shown(sorted(steps), duplicated="0-1") for steps in (one, other))
    record = json.loads(json.dumps(begun.describe()))
    differs = changed.agrees(record, samples=4 * step, step=step)
    assert (differs is None) == ({s for s in one if s < step} == {s for s in other if s < step})


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (shown([1, 3], duplicated="0-2", once="4"), "Step 3 showed 0-1 paraphrase 1, 2 and would now have shown 0-2."),
        (NONE, "Step 1 showed 0-2, 4 and would now have shown no passages."),
    ],
)
def test_what_a_changed_past_showed_is_said(now, says):
    assert now.agrees(json.loads(json.dumps(shown([1, 3]).describe())), samples=20, step=5) == says


def test_facts_may_be_added_to_a_run_that_has_begun():
    before = json.loads(json.dumps(NONE.describe()))
    assert shown([10, 12]).agrees(before, samples=40, step=10) is None
    assert shown([9, 12]).agrees(before, samples=40, step=10) == (
        "Step 9 showed no passages and would now have shown 0-2, 4."
    )
