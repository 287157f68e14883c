"""The measures of a run by group and kind of probe, against runs whose answers are known."""

import numpy as np
import pytest

from megatron_ext.knowledge.measures import Settings, measure
from megatron_ext.knowledge.record import ProbeInfo
from tests.megatron_ext.knowledge.records import facts_run, record

GAINS = {
    "paraphrased": {"memorisation": 1.0, "semantic": 0.6, "compositional": 0.3},
    "duplicated": {"memorisation": 1.4, "semantic": 0.7, "compositional": 0.3},
    "once": {"memorisation": 1.0, "semantic": 0.6, "compositional": 0.3},
}
WINDOW = Settings(window=10)


def test_gains_decay_and_threshold_come_out_as_they_were_put_in():
    found = measure(facts_run(GAINS, decay={"paraphrased": 0.25, "duplicated": 0.5, "once": 0.4}), WINDOW)
    assert list(found.groups) == ["paraphrased", "duplicated", "once"]
    kind = found.groups["duplicated"].kinds["memorisation"]
    assert [each.value for each in kind.by_showing] == pytest.approx([1.4, 0.7, 0.7, 0.7], abs=1e-5)
    assert kind.effectivity.value == pytest.approx((1.4 + 3 * 0.7) / 4, abs=1e-5)
    assert kind.gain.value == pytest.approx(1.4 + 3 * 0.7, abs=1e-5)
    assert kind.decay.value == kind.line.decay == pytest.approx(0.5, abs=1e-5)
    assert 10**kind.log10_threshold.value == pytest.approx(100, rel=1e-3)
    assert found.groups["paraphrased"].kinds["semantic"].decay.value == pytest.approx(0.25, abs=1e-5)
    assert found.groups["once"].kinds["compositional"].log10_threshold.value == pytest.approx(2.5, rel=1e-4)
    assert found.groups["once"].showings == 1


def test_the_intervals_hold_what_was_put_in():
    kind = measure(facts_run(GAINS, spread=0.3), WINDOW).groups["paraphrased"].kinds["memorisation"]
    low, high = kind.by_showing[0].interval
    assert 0.7 < low < 1.0 < high < 1.3
    low, high = kind.decay.interval
    assert low == pytest.approx(high) == pytest.approx(0.5), "all passages forget alike, whatever they gained"


def test_passages_that_were_never_shown_are_a_control_and_in_no_mean():
    drift = np.linspace(-6, -5.9, 50)
    probes = [ProbeInfo(passage, None, "memorisation") for passage in range(3)]
    found = measure(record(drift, drift, drift + 1, shown={}, probes=probes), WINDOW)
    assert found.groups == {}
    assert found.never_shown.passages == 3
    assert found.never_shown.change["memorisation"].value == pytest.approx(0.1, abs=1e-5)
    assert found.never_shown.courses["memorisation"][-1] == [49, pytest.approx(0.1, abs=1e-5)]


def test_what_is_not_known_is_counted_and_never_averaged():
    """A probe that is learnt, one that never is, and one whose last window the run has not passed."""
    learnt, never = [-5, -3, -4, -4.5, -5], [-5, -6, -7, -7, -7]
    found = record(learnt, learnt, never, learnt, shown={0: [0], 1: [0], 2: [0], 3: [0, 3]})
    kind = measure(found, Settings(window=2)).groups["duplicated"].kinds["memorisation"]
    assert kind.showings == {"defined": 4, "cut_by_the_end": 1, "not_measured": 0, "outliers": 1}
    assert kind.kept == {"defined": 2, "cut_by_the_end": 1, "not_measured": 0, "never_learnt": 1, "outliers": 0}
    assert kind.by_showing[0].value == 2.0
    assert kind.by_showing[1].value is None
    assert [at for at, *_ in kind.curve] == [1, 2, 3]
    assert [mean for _, mean, *_ in kind.curve] == [0.5, 0.25, 0.0]


def test_a_run_in_its_first_window_has_no_figure_at_all_and_says_so():
    found = measure(record([-5, -4], [-5, -4], shown={0: [0], 1: [0]}), WINDOW)
    kind = found.groups["duplicated"].kinds["memorisation"]
    assert kind.effectivity.value is None
    assert (kind.line, kind.decay.value, kind.log10_threshold.value, kind.curve) == (None, None, None, [])
    assert kind.no_line == "of no probe it is known that it was learnt"
    assert kind.showings["cut_by_the_end"] == 2


def test_a_run_that_ends_at_its_last_maxima_has_gains_but_no_line():
    kind = measure(facts_run(GAINS, steps=72), WINDOW).groups["duplicated"].kinds["semantic"]
    assert kind.effectivity.value is not None
    assert kind.line is not None
    kind = measure(facts_run(GAINS, steps=71), Settings(window=9)).groups["duplicated"].kinds["semantic"]
    assert kind.line.points == 9
    short = measure(facts_run(GAINS, steps=63), Settings(window=2)).groups["duplicated"].kinds["semantic"]
    assert short.line is None
    assert "1 steps" in short.no_line


def test_the_line_ends_where_the_first_probe_is_no_longer_followed():
    """Two probes with their maxima at steps 1 and 3 of 6: what only one of them says of steps 4 and 5 is left out."""
    found = record([-9, -1, -2, -3, -4, -5, -6], [-9, -8, -8, -1, -2, -3, -9], shown={0: [0], 1: [0]})
    kind = measure(found, Settings(window=3)).groups["duplicated"].kinds["memorisation"]
    assert [at for at, *_ in kind.curve] == [1, 2, 3]
    assert (kind.reach, kind.line.points) == (3, 3)


def test_a_step_after_the_maximum_that_few_probes_were_measured_at_is_left_out_of_the_line():
    """Of three probes one has its maximum a step before the others, where only every second step was measured."""
    early, late = [-9, -1, -5, -5, -5, -5, -5], [-9, -2, -1, -2, -3, -4, -5]
    found = record(early, late, late, shown=dict.fromkeys(range(3), [0]), steps=[0, 1, 2, 4, 6, 8, 10])
    kind = measure(found, Settings(window=3)).groups["duplicated"].kinds["memorisation"]
    assert [at for at, *_ in kind.curve] == [2, 4, 6, 8]


def test_measured_every_ten_steps_the_decay_stays_what_it_is():
    whole = facts_run(GAINS, steps=2001)
    sparse = record(*whole.values_NP[::10].T, shown=whole.shown, steps=whole.steps_N[::10], probes=whole.probes)
    found = measure(sparse, Settings(window=20))
    assert found.spacing == 10
    kind = found.groups["duplicated"].kinds["memorisation"]
    assert kind.decay.value > 0
    assert kind.line.points == (2000 - 70) // 10
    assert kind.effectivity.value < measure(whole, Settings(window=20)).groups["duplicated"].kinds[
        "memorisation"
    ].effectivity.value  # fmt: skip


def test_facts_that_are_not_forgotten_have_no_threshold():
    found = measure(facts_run({"once": {"semantic": 1.0}}, decay=-0.1), Settings(window=1))
    kind = found.groups["once"].kinds["semantic"]
    assert kind.decay.value == pytest.approx(-0.1, abs=1e-5)
    assert kind.log10_threshold.value == np.inf


def test_one_probe_far_from_the_others_moves_no_mean():
    whole = facts_run({"once": {"semantic": 1.0}}, passages=12)
    whole.values_NP[1:, 0] += 50
    found = measure(whole, WINDOW).groups["once"].kinds["semantic"]
    assert found.effectivity.value == pytest.approx(1.0, abs=0.02)
    assert found.showings["outliers"] == 1
    kept = measure(whole, Settings(window=10, outliers=np.inf)).groups["once"].kinds["semantic"]
    assert kept.effectivity.value == pytest.approx(1 + 50 / 12, abs=0.02)
    assert kept.showings["outliers"] == 0


def test_curves_around_showings_begin_before_them_and_end_before_the_next():
    kind = measure(facts_run(GAINS, decay=0.5), WINDOW).groups["duplicated"].kinds["memorisation"]
    around = dict(kind.around)
    assert (min(around), max(around)) == (-2, 20)
    assert around[0] == 0
    assert around[1] == pytest.approx(kind.effectivity.value, abs=1e-4)
    assert kind.course[0] == [0, 0.0]
    assert max(value for _, value in kind.course) == pytest.approx(kind.gain.value, abs=1e-4)


def test_passages_with_a_group_and_no_name_for_it_are_not_lost():
    found = measure(record([-5, -4, -4], shown={7: [0]}, probes=[ProbeInfo(7, None, "semantic")]), Settings(window=2))
    assert list(found.groups) == ["no group"]
