"""A request to stop is noted from the first moment of a process on, and acted on later."""

import os
import signal
import subprocess
import sys

import pytest

from megatron_ext.training.lifecycle import SAVE, STOP, StopRequest, Wish


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_noted_and_nothing_else_happens(number):
    with StopRequest() as request:
        assert not request.asked
        os.kill(os.getpid(), number)
        assert request.asked
        assert request.name == number.name


def test_a_second_signal_changes_nothing():
    with StopRequest() as request:
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR1):
            os.kill(os.getpid(), number)
        assert request.name == "SIGUSR1"


def test_afterwards_signals_do_what_they_did_before():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest():
        pass
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_while_torch_is_imported_is_noted():
    program = (
        "import os, sys\n"
        "from megatron_ext.training.lifecycle import StopRequest\n"
        "with StopRequest() as request:\n"
        "    assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "    print('entered', flush=True)\n"
        "    import torch\n"
        "    sys.stdin.readline()\n"
        "    print(request.name)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "entered\n"
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate("\n", timeout=120)
    assert process.returncode == 0
    assert printed == "SIGTERM\n"


@pytest.fixture
def impatient(monkeypatch):
    """A request that looks at its folder every time."""
    monkeypatch.setattr("megatron_ext.training.lifecycle.LOOK_SECONDS", 0.0)


def test_a_file_SAVE_asks_for_one_checkpoint_and_goes_away(impatient, tmp_path):
    with StopRequest() as request:
        request.watch(tmp_path)
        assert request.wish == Wish.NOTHING
        (tmp_path / SAVE).touch()
        assert [request.wish, request.wish] == [Wish.SAVE, Wish.NOTHING]
        assert not (tmp_path / SAVE).exists()
        assert not request.asked


def test_a_file_STOP_asks_for_the_end_and_goes_away_once_the_run_has_ended_well(impatient, tmp_path):
    def fail() -> None:
        with StopRequest() as request:
            request.watch(tmp_path)
            assert request.wish == Wish.STOP
            raise OSError("no room on the disk for the last checkpoint")

    (tmp_path / STOP).touch()
    with pytest.raises(OSError, match="no room"):
        fail()
    assert (tmp_path / STOP).exists()
    with StopRequest() as request:
        request.watch(tmp_path)
        assert request.asked
        assert request.name == "STOP"
    assert not (tmp_path / STOP).exists()


def test_who_watches_no_folder_heeds_no_file(impatient, tmp_path):
    (tmp_path / STOP).touch()
    with StopRequest() as request:
        assert not request.asked
