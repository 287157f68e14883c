"""Phases: a mixture may change on the way, and no source notices."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_tools.errors import InputError
from megatron_ext.config import SourceConfig
from tests.megatron_ext.plan.support import LENGTH, MIXTURES, PHASES, phased, plan_of, samples_of

MANY = st.dictionaries(st.integers(0, 30).map("s{:02}".format), st.integers(1, 60), min_size=5, max_size=20)


def by_source(samples) -> dict[str, list]:
    return {name: [s for s in samples if s.source == name] for name in sorted({s.source for s in samples})}


@given(phases=PHASES)
def test_a_changed_mixture_as_a_new_phase_repeats_and_skips_nothing_in_any_source(phases):
    """Each source gives, over all phases together, what it gives in a run of its own."""
    plan = plan_of(phased(phases))
    for name, given_rows in by_source(samples_of(plan)).items():
        alone = samples_of(plan_of(phased([({name: len(given_rows)}, None)])))
        assert given_rows == alone


@given(phases=PHASES, data=st.data())
def test_stopping_a_phase_keeps_its_planned_prefix_bit_for_bit(phases, data):
    planned = plan_of(phased(phases))
    stop = data.draw(st.integers(1, planned.phases[-1].stop - planned.phases[-1].first))
    mixture = data.draw(MIXTURES)
    changed = plan_of(phased([*phases[:-1], (phases[-1][0], stop), (mixture, None)]))
    kept = planned.phases[-1].first + stop
    assert samples_of(changed)[:kept] == samples_of(planned)[:kept]


@given(phases=PHASES, more=MIXTURES)
def test_extending_the_budget_by_a_new_phase_changes_no_planned_sample(phases, more):
    planned = plan_of(phased(phases))
    assert samples_of(plan_of(phased([*phases, (more, None)])))[: planned.samples] == samples_of(planned)


@given(phases=PHASES, data=st.data())
def test_the_rows_before_a_sample_are_those_that_were_given(phases, data):
    plan = plan_of(phased(phases))
    i = data.draw(st.integers(0, plan.samples))
    before = by_source(samples_of(plan)[:i])
    assert plan.rows_before(i) == {name: len(before.get(name, [])) for name in plan.sources}
    for phase, rows in zip(plan.phases, plan.rows_by_phase(i), strict=True):
        inside = by_source([plan.locate(j) for j in range(phase.first, min(phase.stop, max(i, phase.first)))])
        assert rows == {name: len(inside.get(name, [])) for name in phase.names}


def furthest_from_ratio(rows: dict[str, int]) -> float:
    plan, given_rows, furthest = plan_of(phased([(rows, None)])), dict.fromkeys(rows, 0), 0.0
    for turn, sample in enumerate(samples_of(plan), start=1):
        given_rows[sample.source] += 1
        furthest = max(furthest, *(abs(given_rows[n] - turn * count / plan.samples) for n, count in rows.items()))
    assert given_rows == rows
    return furthest


@given(rows=MIXTURES)
@example(rows={"a": 60, "b": 60, "c": 60, "d": 1})
def test_of_up_to_four_sources_each_is_within_one_row_of_its_ratio_in_any_prefix_of_a_phase(rows):
    assert furthest_from_ratio(rows) <= 1


@given(rows=MANY)
@example(rows={f"s{number:02}": 1 for number in range(20)} | {"s20": 300})
def test_of_many_sources_each_is_within_half_a_row_for_every_doubling_of_their_number(rows):
    assert furthest_from_ratio(rows) <= math.ceil(math.log2(len(rows))) / 2


def test_epochs_are_counted_over_all_phases():
    config = phased([({"a": 8, "b": 4}, None), ({"a": 5}, None)])
    once = SourceConfig(corpus=config.sources["a"].corpus, max_epochs=1)
    config.sources["a"] = once
    assert plan_of(config, {"a": 13 * LENGTH, "b": 40}).rows_before(17) == {"a": 13, "b": 4}
    with pytest.raises(InputError, match=r"phases\.1\.tokens\.a: .*short of 8 tokens"):
        plan_of(config, {"a": 12 * LENGTH, "b": 40})
