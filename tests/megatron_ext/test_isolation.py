"""What stands beside a document in its row changes nothing for it where documents are kept apart."""

import json

import pytest

from tests.support import run_module


@pytest.fixture(scope="module")
def measured():
    return json.loads(run_module("tests.megatron_ext.packed_rows").splitlines()[-1])


def test_the_loss_of_a_stretch_in_a_packed_row_is_its_loss_alone(measured):
    assert measured["pairs"] < 1e-5


def test_without_bounds_neighbours_are_seen(measured):
    assert measured["joined differs"] > 0.01
    assert measured["first stretch is the same"] < 1e-5


def test_positions_that_start_anew_change_nothing_within_a_stretch(measured):
    assert measured["positions"] < 1e-5
