"""Which checkpoints there are, which is taken, and which may go. No torch."""

import pytest

from data_tools.errors import InputError
from megatron_ext.checkpoint import folders


def make(run, *names):
    for name in names:
        (run / "checkpoints" / name).mkdir(parents=True)


def names(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_the_newest_is_the_one_of_the_latest_step_however_many_digits_it_has(tmp_path):
    make(tmp_path, "step_00000900", "step_100000000", "step_00001000")
    assert folders.latest(tmp_path).name == "step_100000000"
    assert folders.latest_step(tmp_path) == 100_000_000


def test_neither_a_half_written_nor_a_damaged_checkpoint_is_ever_chosen(tmp_path):
    make(tmp_path, "step_00000001", "step_00000002.partial", "step_00000003.unsound", "step_00000004.old.partial")
    assert folders.latest(tmp_path).name == "step_00000001"


def test_a_run_without_a_checkpoint_is_refused_with_its_folder_and_a_remedy(tmp_path):
    make(tmp_path, "step_00000002.partial")
    assert folders.latest_step(tmp_path) is None
    with pytest.raises(InputError, match="no complete checkpoint") as refusal:
        folders.require_latest(tmp_path)
    assert str(tmp_path) in str(refusal.value)


def test_a_path_may_name_a_run_or_one_of_its_checkpoints(tmp_path):
    make(tmp_path, "step_00000001", "step_00000002")
    first = folders.step_folder(tmp_path, 1)
    assert folders.resolve(first) == first
    assert folders.resolve(tmp_path) == folders.step_folder(tmp_path, 2)


def test_the_newest_and_the_multiples_of_keep_every_stay(tmp_path):
    make(tmp_path, *(f"step_{step:08d}" for step in range(10, 80, 10)))
    removed = folders.retire(tmp_path, keep=2, keep_every=30)
    assert [path.name for path in folders.complete(tmp_path)] == [
        "step_00000030", "step_00000060", "step_00000070"
    ]  # fmt: skip
    folders.remove(removed)
    assert names(tmp_path) == ["step_00000030", "step_00000060", "step_00000070"]


def test_the_only_checkpoint_is_never_retired(tmp_path):
    make(tmp_path, "step_00000010")
    assert folders.retire(tmp_path, keep=1, keep_every=None) == []
    assert names(tmp_path) == ["step_00000010"]


def test_a_kill_while_an_old_checkpoint_is_removed_leaves_nothing_that_looks_whole(tmp_path):
    make(tmp_path, "step_00000010", "step_00000020")
    folders.retire(tmp_path, keep=1, keep_every=None)  # and then the kill
    assert [path.name for path in folders.complete(tmp_path)] == ["step_00000020"]
    folders.remove_leftovers(tmp_path)
    assert names(tmp_path) == ["step_00000020"]


def test_a_step_that_is_saved_again_takes_the_place_of_the_first(tmp_path):
    make(tmp_path, "step_00000010", "step_00000010.partial")
    (folders.partial_folder(tmp_path, 10) / "new").touch()
    folders.give_name(folders.partial_folder(tmp_path, 10))
    assert (folders.step_folder(tmp_path, 10) / "new").exists()
    folders.remove_leftovers(tmp_path)
    assert names(tmp_path) == ["step_00000010"]


def test_a_damaged_checkpoint_is_kept_for_inspection_under_another_name(tmp_path):
    make(tmp_path, "step_00000010", "step_00000020")
    folders.set_aside(folders.step_folder(tmp_path, 20))
    assert names(tmp_path) == ["step_00000010", "step_00000020.unsound"]
