"""Intervals hold the truth as often as they say, and arms that answer the same items are compared item by item."""

import numpy as np
import pytest

from megatron_ext.report.uncertainty import averaged, over_seeds, resampled

BASE, ARM, ORACLE = range(3)
ITEMS = 150
TRUTH = {BASE: 5.0, ARM: 4.8, ORACLE: 4.5}


def losses(generator: np.random.Generator, *, seed_scatter: float = 0.0) -> np.ndarray:
    """Of items that are hard or easy for every arm, shape (A, I)."""
    hard_I = generator.normal(0, 1.0, ITEMS)
    own_AI, seed_A = generator.normal(0, 0.3, (3, ITEMS)), generator.normal(0, seed_scatter, 3)
    return np.array(list(TRUTH.values()))[:, None] + hard_I + own_AI + seed_A[:, None]


@pytest.mark.parametrize("figure", ["difference", "share"])
def test_95_percent_intervals_hold_the_truth_about_95_times_in_a_hundred(figure):
    truth = {"difference": TRUTH[ARM] - TRUTH[BASE], "share": 0.4}[figure]
    generator = np.random.default_rng(1)
    held, of = 0, 300
    for _ in range(of):
        means = resampled(losses(generator), np.ones(ITEMS), name="simulated", draws=300)
        found = means.difference(ARM, BASE) if figure == "difference" else means.share(BASE, ARM, ORACLE)
        held += found.low <= truth <= found.high
    assert 0.91 <= held / of <= 0.98


def test_what_is_hard_for_every_arm_falls_out_of_their_difference():
    means = resampled(losses(np.random.default_rng(2)), np.ones(ITEMS), name="simulated")
    alone, difference = means.of(ARM), means.difference(ARM, BASE)
    assert difference.high - difference.low < 0.6 * (alone.high - alone.low)


def test_means_are_sums_over_sums_so_long_items_count_for_more():
    values, weights = np.array([[2.0, 30.0], [1.0, 20.0], [1.0, 10.0]]), np.array([1.0, 10.0])
    means = resampled(values, weights, name="two items")
    assert means.value_A == pytest.approx([32 / 11, 21 / 11, 1.0])


def test_a_share_of_a_gain_that_may_be_none_has_no_interval():
    generator = np.random.default_rng(3)
    values = generator.normal(5, 1, (3, ITEMS))
    values[ORACLE] += values[BASE].mean() - values[ORACLE].mean() - 0.01  # a gain far below what items scatter by
    found = resampled(values, np.ones(ITEMS), name="noise").share(BASE, ARM, ORACLE)
    assert np.isfinite(found.value)
    assert (found.low, found.high) == (None, None)


def test_of_one_item_and_one_seed_nothing_is_known():
    found = resampled(np.array([[5.0], [4.0], [3.0]]), np.ones(1), name="one").difference(ARM, BASE)
    assert (found.value, found.low, found.high) == (-1.0, None, None)


def test_seeds_that_scatter_widen_the_interval():
    generator = np.random.default_rng(4)
    each = [resampled(losses(generator, seed_scatter=0.3), np.ones(ITEMS), name="a") for _ in range(5)]
    one, several = each[0].difference(ARM, BASE), over_seeds(each, name="a").difference(ARM, BASE)
    assert several.high - several.low > 1.5 * (one.high - one.low)
    assert several.value == pytest.approx(np.mean([means.difference(ARM, BASE).value for means in each]))


def test_seeds_without_scatter_are_surer_together_and_may_have_items_of_their_own():
    generator = np.random.default_rng(6)
    each = [resampled(losses(generator)[:, : ITEMS - n], np.ones(ITEMS - n), name="a") for n in range(4)]
    widths = [found.high - found.low for found in (means.difference(ARM, BASE) for means in each)]
    together = over_seeds(each, name="a").difference(ARM, BASE)
    assert together.high - together.low < min(widths)


def test_of_seeds_without_items_the_scatter_alone_is_told():
    each = [resampled(np.array([[5.0], [loss], [3.0]]), np.ones(1), name="a") for loss in (4.0, 4.2)]
    found = over_seeds(each, name="a").difference(ARM, BASE)
    assert (found.low, found.high) == pytest.approx((-1.0, -0.8))


def test_an_average_of_benchmarks_is_surer_than_each():
    generator = np.random.default_rng(5)
    each = [resampled(losses(generator), np.ones(ITEMS), name=f"task {n}") for n in range(4)]
    widths = [found.high - found.low for found in (means.difference(ARM, BASE) for means in each)]
    together = averaged(each).difference(ARM, BASE)
    assert together.high - together.low < 0.7 * min(widths)
    assert together.value == pytest.approx(np.mean([means.difference(ARM, BASE).value for means in each]))
