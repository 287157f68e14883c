"""Intervals and verdicts of series that can be worked by hand."""

import numpy as np
import pytest

from megatron_ext.knowledge.spacing import Spacing, figures, verdict, worst_first

SERIES = {0: [0, 100, 200], 1: [40], 2: [], 3: [5, 6, 5, 307]}
"""Thing -> steps; the last is shown twice in step 5."""


@pytest.fixture
def spacing() -> Spacing:
    things = np.array([thing for thing, steps in SERIES.items() for _ in steps])
    steps = np.array([step for steps in SERIES.values() for step in steps])
    order = np.random.default_rng(1).permutation(len(things))
    return Spacing.of(things[order], steps[order], count=4, tokens_before=lambda step: step * 1000)


def test_the_interval_is_the_mean_gap_and_two_showings_in_one_step_are_one(spacing: Spacing) -> None:
    assert spacing.showings.tolist() == [3, 1, 0, 3]
    assert spacing.interval[[0, 3]].tolist() == [100, 151]
    assert spacing.interval_tokens[[0, 3]].tolist() == [100_000, 151_000]
    assert np.isnan(spacing.interval[[1, 2]]).all()
    assert spacing.longest.tolist() == [100, 0, 0, 301]
    assert spacing.last.tolist() == [200, 40, -1, 307]


def test_tokens_between_showings_are_those_that_a_ramp_trained() -> None:
    ramped = Spacing.of(
        np.array([0, 0]), np.array([1, 3]), count=1, tokens_before=lambda steps: np.array([0, 10, 30, 70])[steps]
    )
    assert ramped.interval_tokens.tolist() == [60]


def test_nothing_shown_at_all_gives_no_intervals_and_no_error() -> None:
    nothing = Spacing.of(np.empty(0, np.int64), np.empty(0, np.int64), count=2, tokens_before=lambda steps: steps)
    found = figures(nothing)
    assert (found["never"], found["interval"], found["histogram"]) == (2, None, [])
    assert verdict(nothing, 10, steps=5, exact=True)["not_learnt"] == 1.0


def test_figures_count_every_thing_once(spacing: Spacing) -> None:
    found = figures(spacing)
    assert (found["documents"], found["never"], found["once"]) == (4, 1, 1)
    assert found["showings"]["mean"] == 7 / 4
    assert found["interval"]["mean"] == 125.5
    assert [(round(row["from"], 1), round(row["to"], 1), row["documents"]) for row in found["histogram"]] == [
        (90.5, 107.6, 1), (128.0, 152.2, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("threshold", "beyond", "faded"), [(99, 2, 0), (100, 1, 1), (150, 1, 1), (151, 0, 2), (800, 0, 0)]
)
def test_what_is_shown_once_never_or_beyond_the_threshold_is_not_learnt(
    spacing: Spacing, threshold: float, beyond: int, faded: int
) -> None:
    found = verdict(spacing, threshold, steps=1000, exact=True)
    assert (found["beyond"], found["within"], found["faded"]) == (beyond, 2 - beyond, faded)
    assert found["not_learnt"] == found["low"] == found["high"] == (2 + beyond) / 4


def test_the_worst_are_those_never_shown_then_once_then_by_their_interval(spacing: Spacing) -> None:
    assert worst_first(spacing).tolist() == [2, 1, 3, 0]
