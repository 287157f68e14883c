"""Rotary positions are those of Llama 3, and may start anew within a row."""

import json

import pytest

from tests.support import run_module


@pytest.fixture(scope="module")
def found():
    return json.loads(run_module("tests.megatron_ext.rotary_angles").splitlines()[-1])


def test_frequencies_are_those_of_transformers_with_and_without_scaling(found):
    assert found["plain"] == 0.0
    assert found["scaled"] < 1e-6


def test_positions_that_count_up_are_the_same_as_none(found):
    assert found["same where positions count up"] == 0.0


def test_only_distances_matter_so_a_row_that_begins_later_has_the_same_logits(found):
    assert found["shifted rows"] < 1e-6


def test_positions_that_start_anew_change_their_row_and_no_other(found):
    assert found["restarted row"] > 1e-5
    assert found["other row"] == 0.0


def test_angles_stay_in_float32_and_out_of_checkpoints(found):
    assert found["dtype"] == "torch.float32"
    assert found["in checkpoints"] == []
