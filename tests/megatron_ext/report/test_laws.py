"""Fits give back what points were made of, know how sure they are, and reproduce the papers' numbers."""

import numpy as np
import pytest

from data_tools.errors import InputError
from megatron_ext.report.laws import fit, worth

X = np.array([1.0, 2, 4, 8, 16, 32]) * 25e6
A, B, C = 90.0, 0.235, 1.92


def losses(x=X, *, noise=0.0, seed=0):
    return A / x**B + C + np.random.default_rng(seed).normal(0, noise, len(x))


def test_points_of_a_law_give_back_its_parameters():
    law = fit(X, losses())
    assert (law.a, law.b, law.c) == pytest.approx((A, B, C), rel=1e-4)
    assert law.at(1e9) == pytest.approx(A / 1e9**B + C, rel=1e-6)
    assert law.inverse(law.at(3e8)) == pytest.approx(3e8, rel=1e-6)


def test_the_unit_of_x_changes_nothing_but_a():
    tokens, millions = fit(X, losses(noise=0.003)), fit(X / 1e6, losses(noise=0.003))
    assert (tokens.b, tokens.c) == pytest.approx((millions.b, millions.c), rel=1e-3)


def test_noisy_points_give_back_the_limit_within_its_interval_nineteen_times_of_twenty():
    held = 0
    for seed in range(60):
        limit = fit(X, losses(noise=0.004, seed=seed), seed=seed).limit
        assert limit.low < limit.value < limit.high
        held += limit.low <= C <= limit.high
    assert held >= 51


def test_members_of_an_ensemble_give_back_their_limit():
    members = np.arange(1, 6)
    law = fit(members, 0.12 / members**0.9 + 3.31, what="members")
    assert (law.a, law.b, law.c) == pytest.approx((0.12, 0.9, 3.31), rel=1e-3)


@pytest.mark.parametrize(("loss", "efficiency"), [(3.411, 1.48), (3.375, 1.64), (3.344, 1.80)])
@pytest.mark.parametrize(("b", "c"), [(0.23, 1.89), (0.24, 1.96)])
def test_data_efficiencies_are_those_of_the_paper(loss, efficiency, b, c):
    law = fit(X, A / X**b + c)
    assert law.efficiency(loss, base=3.5544).value == pytest.approx(efficiency, abs=0.03)


def test_the_fits_uncertainty_is_carried_through_to_the_efficiency():
    sure, unsure = (fit(X, losses(noise=noise, seed=1)).efficiency(2.9, base=3.1) for noise in (0.0005, 0.005))
    assert sure.low < sure.value < sure.high
    assert unsure.high - unsure.low > 3 * (sure.high - sure.low)


def test_a_loss_below_the_limit_has_no_end_of_data():
    assert fit(X, losses()).inverse(C - 0.1) == float("inf")
    assert fit(X, losses()).efficiency(C - 0.1, base=3.0).value == float("inf")


def test_three_points_give_a_law_and_no_uncertainty():
    law = fit(X[:3], losses()[:3])
    assert law.c == pytest.approx(C, rel=1e-3)
    assert law.limit.low is law.limit.high is None


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_points_are_told(count):
    with pytest.raises(InputError, match=f"found {count} different values of x, expected at least 3"):
        fit(X[:count], losses()[:count])


@pytest.mark.parametrize("found", [[3.0, 3.1, 3.2, 3.3, 3.4, 3.5], [3.0] * 6, [3.5, 3.0, 3.4, 2.9, 3.6, 3.7]])
def test_losses_that_do_not_fall_are_told(found):
    with pytest.raises(InputError, match="no power law"):
        fit(X, found)


def test_repetition_is_worth_what_the_law_says():
    assert worth(100, 0) == 100
    assert worth(100, 4) == pytest.approx(100 + 1539 * (1 - np.exp(-4 / 15.39)))
    assert worth(100, 1e9) == pytest.approx(1639)
