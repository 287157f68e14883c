"""Acquisition and forgetting of facts, against series worked by hand."""

import numpy as np
import pytest

from megatron_ext.knowledge.acquisition import State, forgetting_line, retainability, showings
from megatron_ext.knowledge.record import ProbeInfo
from tests.megatron_ext.knowledge.records import record

NAN = float("nan")


def states(found: np.ndarray) -> list[str]:
    return [State(state).name for state in found.ravel()]


def test_effectivity_is_the_largest_value_in_the_window_less_the_value_at_the_showing():
    #                t: 0   1   2   3   4   5   6   7   8   9  10
    found = record([-9, -8, -7, -5, -4, -6, -5, -3, -4, -1, -2], shown={0: [2, 6]})
    shown = showings(found, [0], window=2)
    assert shown.effectivity_IP[:, 0].tolist() == [3.0, 2.0]  # -4 at 4 less -7 at 2; -3 at 7 less -5 at 6
    assert found.steps_N[shown.row_IP[:, 0]].tolist() == [4, 7]


def test_a_window_begins_after_the_showing_and_holds_its_last_step():
    found = record([-1, -5, -4, -3, -2, -1], shown={0: [0]})
    assert showings(found, [0], window=4).peak_IP[0, 0] == -2
    assert showings(found, [0], window=4).effectivity_IP[0, 0] == -1, "a showing may lower it"


def test_of_equal_maxima_the_earliest_counts():
    assert showings(record([-5, -2, -3, -2, -2], shown={0: [0]}), [0], window=4).row_IP[0, 0] == 1


def test_a_window_ends_at_the_next_showing_whose_measurement_still_belongs_to_it():
    found = record([-9, -8, -7, -1, -2, -3], shown={0: [0, 2]})
    shown = showings(found, [0], window=3)
    assert shown.effectivity_IP[:, 0].tolist() == [2.0, 6.0]  # l before update 2 has not seen the second showing
    assert shown.shortened
    assert not showings(found, [0], window=2).shortened


def test_a_window_that_the_run_has_not_passed_has_no_maximum():
    found = record([-9, -8, -7, -6], shown={0: [0, 1, 9]})
    shown = showings(found, [0], window=3)
    assert states(shown.state_IP) == ["DEFINED", "CUT", "CUT"]
    assert np.isnan(shown.effectivity_IP[1:, 0]).all()
    assert states(showings(found, [0], window=2).state_IP) == ["DEFINED", "DEFINED", "CUT"]
    assert states(retainability(found, [0], shown).state_P) == ["CUT"], "what is kept rests on the last maximum"


def test_a_maximum_is_looked_for_among_the_steps_that_were_measured():
    steps = [0, 4, 8, 10, 12, 16, 20]
    found = record([-9, -7, -8, -6, -4, -5, -3], shown={0: [0, 10]}, steps=steps)
    shown = showings(found, [0], window=6)
    assert shown.effectivity_IP[:, 0].tolist() == [2.0, 2.0]
    assert found.steps_N[shown.row_IP[:, 0]].tolist() == [4, 12]
    kept = retainability(found, [0], shown)
    assert kept.after_T.tolist() == [0, 4, 8]
    assert kept.share_PT[0].tolist() == pytest.approx([1.0, 4 / 5, 6 / 5])


def test_a_showing_without_a_measurement_at_it_or_in_its_window_is_told_from_one_that_taught_nothing():
    found = record([-9, -8, -7, -6], [-9, -8, -7, -6], shown={0: [0], 1: [10]}, steps=[0, 8, 16, 24])
    assert states(showings(found, [0, 1], window=4).state_IP) == ["NOT_MEASURED", "NOT_MEASURED"]
    assert states(showings(found, [0, 1], window=8).state_IP) == ["DEFINED", "NOT_MEASURED"]


def test_a_measurement_that_is_not_a_number_is_passed_over():
    found = record([-9, NAN, -7, -8], [NAN, -8, -7, -8], [-9, NAN, NAN, -2], shown=dict.fromkeys(range(3), [0]))
    shown = showings(found, [0, 1, 2], window=2)
    assert states(shown.state_IP) == ["DEFINED", "NOT_MEASURED", "NOT_MEASURED"]
    assert shown.effectivity_IP[0, 0] == 2.0


def test_retainability_is_the_share_of_all_gains_that_is_left():
    #           t_pre           t_LAM, then above it, half of it, back at the start, and under it
    found = record([-8, -7, -7, -6, -4, -3, -6, -8, -10], shown={0: [0, 2]})
    kept = retainability(found, [0], showings(found, [0], window=2))
    assert kept.after_T.tolist() == [0, 1, 2, 3, 4]
    assert kept.share_PT[0].tolist() == [1.0, 1.25, 0.5, 0.0, -0.5]
    assert kept.reach == 4


def test_a_fact_that_was_forgotten_at_once_keeps_nothing_from_the_first_step():
    found = record([-5, -3, -5, -5, -6], shown={0: [0]})
    kept = retainability(found, [0], showings(found, [0], window=3))
    assert kept.share_PT[0].tolist() == [1.0, 0.0, 0.0, -0.5]


def test_a_fact_that_was_never_learnt_has_no_share_to_keep():
    found = record([-5, -6, -5, -6, -7], [-5, -4, -5, -6, -7], shown={0: [0, 2], 1: [0, 2]})
    shown = showings(found, [0, 1], window=2)
    kept = retainability(found, [0, 1], shown)
    assert states(kept.state_P) == ["NEVER_LEARNT", "NEVER_LEARNT"], "the last maximum counts, not the first"
    assert np.isnan(kept.share_PT).all()
    assert shown.effectivity_IP[0].tolist() == [0.0, 1.0], "its gains count where gains are averaged"


def test_a_fact_that_is_level_with_its_beginning_was_not_learnt_either():
    found = record([-5, -5, -5, -6], shown={0: [0]})
    assert states(retainability(found, [0], showings(found, [0], window=2)).state_P) == ["NEVER_LEARNT"]


def test_passages_of_a_group_may_be_shown_at_different_steps_or_never():
    found = record([-9, -8, -7, -6, -5], [-9, -8, -7, -6, -5], [-9, -8, -7, -6, -5], shown={0: [1], 2: [0, 2]})
    shown = showings(found, [0, 1, 2], window=1)
    assert shown.last_P.tolist() == [0, -1, 1]
    assert states(shown.state_IP) == ["DEFINED", "NOT_SHOWN", "DEFINED", "NOT_SHOWN", "NOT_SHOWN", "DEFINED"]
    kept = retainability(found, [0, 1, 2], shown)
    assert states(kept.state_P) == ["DEFINED", "NOT_SHOWN", "DEFINED"]
    assert kept.share_PT[:, 0].tolist() == pytest.approx([1.0, NAN, 1.0], nan_ok=True)
    assert kept.reach == 1, "probe 2 has its maximum at step 3 of 4"


def test_probes_that_were_never_shown_have_neither_gains_nor_shares():
    found = record([-9, -8], shown={})
    shown = showings(found, [0])
    assert shown.effectivity_IP.shape == (0, 1)
    assert states(retainability(found, [0], shown).state_P) == ["NOT_SHOWN"]


def test_a_run_that_has_measured_nothing_yet_has_only_cut_windows():
    found = record([], shown={0: [0, 3]}, probes=[ProbeInfo(0, "once", "semantic")])
    shown = showings(found, [0])
    assert states(shown.state_IP) == ["CUT", "CUT"]
    assert retainability(found, [0], shown).share_PT.size == 0


def test_forgetting_is_the_slope_against_log10_with_its_standard_error():
    line = forgetting_line(np.array([1, 10, 100]), np.array([1.0, 0.4, 0.4]))
    assert line.decay == pytest.approx(0.3)
    assert line.intercept == pytest.approx(0.9)
    assert line.sigma == pytest.approx(np.sqrt(0.06 / 1) / np.sqrt(2))  # residuals 0.1, -0.2, 0.1; x - mean: -1, 0, 1
    assert line.r2 == pytest.approx(1 - 0.06 / 0.24)
    assert 10**line.log10_threshold == pytest.approx(1000)  # 0.9 - 0.3 log10(1000) = 0


def test_a_share_that_does_not_fall_has_no_threshold():
    after = np.array([1, 10, 100])
    assert forgetting_line(after, np.array([0.5, 0.6, 0.7])).log10_threshold == np.inf
    assert forgetting_line(after, np.array([0.5, 0.5, 0.5])).log10_threshold == np.inf


def test_two_points_are_not_enough_for_a_line():
    assert forgetting_line(np.array([1, 2]), np.array([1.0, 0.5])) is None


@pytest.mark.parametrize("seed", range(20))
def test_many_probes_at_once_give_what_the_definitions_give_one_by_one(seed):
    """The definitions, step by step, in a dictionary of measurements, with random schedules and gaps."""
    random = np.random.default_rng(seed)
    steps = np.unique(random.integers(0, 60, 45))
    schedules = [np.unique(random.choice(steps, random.integers(0, 4))).tolist() for _ in range(4)]
    probes = [ProbeInfo(int(passage), "g", "k") for passage in random.integers(0, 4, 12)]
    found = record(*random.normal(size=(12, len(steps))), shown=dict(enumerate(schedules)), steps=steps, probes=probes)
    window = int(random.integers(1, 12))
    shown = showings(found, range(12), window=window)
    kept = retainability(found, range(12), shown)
    for place, probe in enumerate(probes):
        l = dict(zip(steps.tolist(), found.values_NP[:, place].astype(float).tolist(), strict=True))  # noqa: E741
        at, peaks = schedules[probe.passage], []
        for i, t_i in enumerate(at):
            end = min([t_i + window, *at[i + 1 : i + 2]])
            inside = [t for t in l if t_i < t <= end]
            known = steps[-1] >= end and inside
            peaks.append(max(inside, key=lambda t: (l[t], -t)) if known else None)
            expected = l[peaks[-1]] - l[t_i] if known else NAN
            assert shown.effectivity_IP[i, place] == pytest.approx(expected, nan_ok=True)
        if at and peaks[-1] is not None and l[peaks[-1]] > l[at[0]]:
            after = {t - peaks[-1]: (l[t] - l[at[0]]) / (l[peaks[-1]] - l[at[0]]) for t in l if t >= peaks[-1]}
            given = dict(zip(kept.after_T.tolist(), kept.share_PT[place].tolist(), strict=True))
            assert {t: share for t, share in given.items() if not np.isnan(share)} == pytest.approx(after, rel=1e-5)
        else:
            assert np.isnan(kept.share_PT[place]).all()
