"""Go or no-go: the safe side of an interval decides, and a threshold that can't be used is refused."""

import pytest

from data_tools.errors import InputError
from data_tools.quality.gate import bounds_of, decide

MEASURES = {
    "repetition": {"value": 0.02, "low": 0.01, "high": 0.04, "of": 500},
    "non_factual": {"value": 0.0, "low": 0.0, "high": 0.16, "of": 20},
    "distinct_2": {"value": 0.4, "of": 1000},
    "self_bleu": {"value": None, "of": 0},
}


def bounds(values: object) -> dict[str, dict[str, float]]:
    return bounds_of(values, where="gate.yaml", known=MEASURES, absent={"pair_copying": "--judge-model"})


def test_a_bound_is_kept_only_if_the_worse_end_of_the_interval_keeps_it():
    assert decide(MEASURES, bounds({"repetition": 0.05}))["go"]
    verdict = decide(MEASURES, bounds({"repetition": 0.03}))
    assert not verdict["go"]
    [reason] = verdict["reasons"]
    assert reason == "repetition: 2.0% of 500, which leaves 1.0% to 4.0%: 4.0% is above 3.0%"


def test_none_found_in_a_small_sample_is_no_proof():
    assert not decide(MEASURES, bounds({"non_factual": 0.05}))["go"]


def test_each_broken_bound_has_a_reason():
    verdict = decide(MEASURES, bounds({"repetition": 0.01, "distinct_2": {"at_least": 0.5}, "self_bleu": 0.5}))
    assert [reason.split(":")[0] for reason in verdict["reasons"]] == ["repetition", "distinct_2", "self_bleu"]
    assert decide(MEASURES, bounds({"distinct_2": {"at_least": 0.3, "at_most": 0.5}}))["go"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"repetitions": 0.1}, "repetitions"), ({"pair_copying": 0.1}, "--judge-model"), ({"repetition": "low"}, "low"),
        ({"repetition": {"most": 0.1}}, "at_least"), ({}, "no thresholds"), ([1], "no thresholds"),
        ({"repetition": True}, "True"),
    ],
)  # fmt: skip
def test_thresholds_that_cannot_be_used_are_refused(values, said):
    with pytest.raises(InputError, match=said):
        bounds(values)
