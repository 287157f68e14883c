"""The record of probes is whole at any moment, and that of an interrupted run is that of one that was not."""

import numpy as np
import pytest

from data_tools.errors import InputError
from megatron_ext.knowledge.record import Asked, ProbeInfo, RecordWriter, read_record, require_same

PROBES = [
    {"passage": 0, "group": "once", "kind": "semantic", "prompt": "a", "target": "b", "target_tokens": 2},
    {"passage": 1, "group": None, "kind": "memorisation", "prompt": "c", "target": "d", "target_tokens": 1},
]
ASKED = Asked(probes=PROBES, shown={0: (3,)}, tokens_per_step=128, facts="f" * 32)


def values(step):
    return np.array([-1.0 - step, -0.1 * step], dtype=np.float32)


def write(run, steps, *, first=0):
    with RecordWriter(run, ASKED, first=first) as record:
        for step in steps:
            record.add(step, values(step))
    return record.files[1]


def test_what_was_measured_is_read_back(tmp_path):
    write(tmp_path, [0, 2, 3])
    found = read_record(tmp_path)
    assert found.steps_N.dtype == np.int64
    assert found.steps_N.tolist() == [0, 2, 3]
    assert found.values_NP.dtype == np.float32
    assert np.array_equal(found.values_NP, np.stack([values(step) for step in (0, 2, 3)]))
    assert found.probes == (ProbeInfo(0, "once", "semantic"), ProbeInfo(1, None, "memorisation"))
    assert (found.shown, found.tokens_per_step) == ({0: (3,)}, 128)


def test_a_record_is_a_step_and_a_float_for_each_probe_little_endian(tmp_path):
    path = write(tmp_path, [7])
    assert path.read_bytes() == (7).to_bytes(8, "little") + values(7).astype("<f4").tobytes()


@pytest.mark.parametrize("kept", range(1, 16))
def test_a_last_record_that_a_kill_tore_is_not_read_and_cut_before_the_next(tmp_path, kept):
    path = write(tmp_path, [0, 1])
    path.write_bytes(path.read_bytes() + b"x" * kept)
    assert read_record(tmp_path).steps_N.tolist() == [0, 1]
    write(tmp_path, [2], first=2)
    assert read_record(tmp_path).steps_N.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("first", "kept"), [(0, []), (1, [0]), (3, [0, 2]), (4, [0, 2]), (9, [0, 2, 4, 5])])
def test_a_run_that_goes_on_forgets_what_it_will_measure_again(tmp_path, first, kept):
    write(tmp_path, [0, 2, 4, 5])
    write(tmp_path, [], first=first)
    assert read_record(tmp_path).steps_N.tolist() == kept


def test_a_record_can_be_read_while_it_is_written(tmp_path):
    with RecordWriter(tmp_path, ASKED, first=0) as record:
        assert read_record(tmp_path).values_NP.shape == (0, 2)
        record.add(0, values(0))
        assert read_record(tmp_path).steps_N.tolist() == [0]


def test_a_folder_without_a_record_is_refused(tmp_path):
    with pytest.raises(InputError, match="Add `knowledge:` to the run file"):
        read_record(tmp_path)


def test_values_of_other_probes_are_refused(tmp_path):
    path = write(tmp_path, [0, 1, 2])
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(InputError, match="steps that do not rise"):
        read_record(tmp_path)


def test_going_on_with_other_probes_is_refused_and_with_another_schedule_is_not(tmp_path):
    require_same(tmp_path, ASKED)
    write(tmp_path, [0])
    moved = [PROBES[0] | {"group": "duplicated"}, PROBES[1]]
    require_same(tmp_path, Asked(probes=moved, shown={0: (3, 5)}, tokens_per_step=256, facts="g" * 32))
    others = [PROBES[0] | {"target_tokens": 3}, PROBES[1]]
    with pytest.raises(InputError, match="a record of other probes"):
        require_same(tmp_path, Asked(probes=others, shown={}, tokens_per_step=128, facts="f" * 32))
