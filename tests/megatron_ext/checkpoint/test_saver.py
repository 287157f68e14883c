"""Saving and loading on real ranks: the values of the step, in every layout, whatever goes wrong meanwhile."""

import json
from pathlib import Path

import pytest

from tests.support import MODEL, run_module, run_settings, small_disk


def on_ranks(scenario, folder, *, ranks=2, **changes):
    """What each rank found."""
    settings = run_settings(Path("corpus"), steps=1, model=MODEL | {"layers": 4}, **changes)
    run_module("tests.megatron_ext.checkpoint.ranks", scenario, folder, json.dumps(settings), ranks=ranks)
    return json.loads((folder / "findings.json").read_text())


LAYOUTS = [
    ("data 2", "fp32", {}),
    pytest.param("data 2", "bf16", {}, marks=pytest.mark.slow),
    ("tensor 2", "bf16", {"tensor": 2}),
    pytest.param("pipeline 2, 2 chunks", "fp32", {"pipeline": 2, "chunks": 2}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "precision", "layout"), LAYOUTS)
def test_what_is_saved_are_the_bits_of_the_step_though_training_changes_them_at_once(
    name, precision, layout, tmp_path
):  # fmt: skip
    for found in on_ranks("there_and_back", tmp_path, precision=precision, layout=layout):
        assert found == {
            "asynchronous": True, "asynchronous again": True,
            "ours read by Megatron-core": True, "Megatron-core's read by us": True,
        }  # fmt: skip


def test_a_run_stopped_before_its_first_update_goes_on_as_if_it_had_not_been(tmp_path):
    for found in on_ranks("before_the_first_update", tmp_path, precision="bf16"):
        assert found == {"equal": [True, True]}


def test_a_rank_that_cannot_write_fails_that_save_on_all_ranks_and_no_other(tmp_path):
    for found in on_ranks("a_rank_that_cannot_write", tmp_path):
        assert "File too large (rank 1)" in found["problem"]
        assert found["left"] == ["step_00000001"]
        assert found["step after"] == found["latest"] == 3
        assert found["complete"] == 2
        assert found["problems"] == []


def test_a_checkpoint_that_does_not_fit_is_refused_before_any_weight_is_changed(tmp_path):
    for found in on_ranks("unfit_checkpoints", tmp_path):
        assert "no such folder" in found["missing"]
        assert "linear_fc1.weight of shape" in found["another model"]
        assert "without the state of an optimizer" in found["no moments"]
        assert found["untouched"]


def test_a_full_disk_fails_a_save_and_leaves_the_earlier_checkpoint(tmp_path):
    with small_disk(tmp_path, kilobytes=2048):
        for found in on_ranks("a_small_disk", tmp_path):
            assert found["complete"] == ["step_00000001"]
            assert len(found["problems"]) == 2
            assert "bytes free on the disk" in found["problems"][0]
