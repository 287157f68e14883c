"""A file that is missing, short or changed is named; the work can be shared. No torch."""

import pytest

from megatron_ext.checkpoint.integrity import INTEGRITY, problem_of, record, write_list


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "step_00000010"
    folder.mkdir()
    for name in ("__0_0.distcp", "__1_0.distcp", "common.pt"):
        (folder / name).write_bytes(name.encode() * 1000)
    write_list(folder, {path.name: record(path) for path in folder.iterdir()})
    return folder


def test_what_was_written_and_not_touched_is_sound(checkpoint):
    assert problem_of(checkpoint) is None


def test_a_single_changed_bit_is_found_and_its_file_named(checkpoint):
    path = checkpoint / "__1_0.distcp"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert problem_of(checkpoint) == "step_00000010/__1_0.distcp was changed after it was written"


def test_a_short_file_is_named_with_both_sizes(checkpoint):
    path = checkpoint / "common.pt"
    path.write_bytes(path.read_bytes()[:-1])
    assert problem_of(checkpoint) == "step_00000010/common.pt has 8999 bytes, not 9000"


def test_a_missing_file_is_named(checkpoint):
    (checkpoint / "__0_0.distcp").unlink()
    assert problem_of(checkpoint) == "step_00000010/__0_0.distcp can't be read: No such file or directory"


def test_every_file_is_in_one_share(checkpoint):
    for path in checkpoint.glob("[_c]*"):
        whole = path.read_bytes()
        path.write_bytes(b"")
        assert sum(problem_of(checkpoint, share=share, shares=2) is not None for share in range(2)) == 1
        path.write_bytes(whole)


def test_a_checkpoint_without_its_list_is_unsound_and_the_reason_says_so(checkpoint):
    (checkpoint / INTEGRITY).unlink()
    assert "earlier version" in problem_of(checkpoint)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": [1]}', '{"files": {"common.pt": {"bytes": 1}}}'])
def test_a_damaged_list_is_unsound(checkpoint, text):
    (checkpoint / INTEGRITY).write_text(text)
    assert problem_of(checkpoint) == "step_00000010/integrity.json can't be read"
