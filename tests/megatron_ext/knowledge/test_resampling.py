"""Means over probes: what is left out of them, and how sure they are."""

import numpy as np
import pytest

from megatron_ext.knowledge.resampling import Draws, Estimate, without_outliers

NAN = float("nan")


def test_a_value_beyond_one_and_a_half_interquartile_ranges_is_left_out():
    values = np.array([[1.0], [2], [3], [4], [7], [7.1]])  # of the first five: quartiles 2 and 4, fences at -1 and 7
    kept, left_out = without_outliers(values[:5])
    assert (left_out, np.isnan(kept).sum()) == (0, 0)
    kept, left_out = without_outliers(np.array([[1.0], [2], [3], [4], [7.1]]))
    assert left_out == 1
    assert kept[:, 0].tolist() == pytest.approx([1, 2, 3, 4, NAN], nan_ok=True)


def test_the_fences_can_be_set_or_taken_away():
    values = np.array([[1.0], [2], [3], [4], [7.1]])
    assert without_outliers(values, 2.0)[1] == 0
    assert without_outliers(np.array([[1.0], [2], [3], [4], [1e9]]), np.inf)[1] == 0


def test_outliers_are_told_within_their_column_and_missing_values_are_none():
    random = np.random.default_rng(0)
    values = random.standard_cauchy((40, 7))
    values[random.random((40, 7)) < 0.3] = NAN
    values[:, 3] = NAN
    kept, left_out = without_outliers(values)
    for before, after in zip(values.T, kept.T, strict=True):
        known = before[~np.isnan(before)]
        low, high = np.quantile(known, [0.25, 0.75]) if len(known) else (0, 0)
        inside = (known >= low - 1.5 * (high - low)) & (known <= high + 1.5 * (high - low))
        assert after[~np.isnan(after)].tolist() == known[inside].tolist()
    assert left_out == np.isnan(kept).sum() - np.isnan(values).sum() > 0


def test_probes_of_one_passage_count_as_one_where_it_is_asked_how_sure_a_mean_is():
    """40 passages of 5 probes that agree: the interval is that of 40 values, not of 200."""
    passages = np.repeat(np.arange(40), 5)
    values = np.repeat(np.random.default_rng(1).normal(size=40), 5)[:, None]
    estimate = Draws(passages, name="g").mean(values, passages)
    low, high = estimate.interval
    assert estimate.value == pytest.approx(values.mean())
    assert low < estimate.value < high
    assert (high - low) == pytest.approx(2 * 1.96 * values.std() / np.sqrt(40), rel=0.1)


def test_one_passage_tells_no_uncertainty_and_no_value_no_mean():
    one = Draws([3, 3], name="g")
    assert one.mean(np.array([[1.0], [3.0]]), np.array([3, 3])) == Estimate(2.0)
    assert one.mean(np.array([[NAN], [NAN]]), np.array([3, 3])).value is None
    assert Estimate(2.0).interval is None


def test_two_kinds_of_probe_of_the_same_passages_are_compared_as_pairs():
    """Passages differ by far more than the kinds do, yet the difference is known exactly."""
    passages, values = np.arange(30), 100 * np.random.default_rng(2).normal(size=(30, 1))
    draws = Draws(passages, name="g")
    difference = draws.mean(values + 0.5, passages).minus(draws.mean(values, passages))
    assert difference.value == pytest.approx(0.5)
    assert difference.interval == pytest.approx((0.5, 0.5))


def test_groups_are_drawn_apart_and_the_same_group_always_alike():
    values = np.arange(20.0)[:, None]
    first, again, other = (Draws(range(20), name=name).mean(values, np.arange(20)) for name in ("a", "a", "b"))
    assert (first.draws_D == again.draws_D).all()
    assert (first.draws_D != other.draws_D).any()


def test_an_interval_may_have_an_infinite_end_but_no_unknown_one():
    draws = np.concatenate([np.arange(900.0), np.full(100, np.inf)])
    assert Estimate(5.0, draws).interval == (25.0, np.inf)
    assert Estimate(5.0, np.append(draws, NAN)).interval is None
    assert Estimate(np.inf, draws).minus(Estimate(1.0, draws)).value is None
