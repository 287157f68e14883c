"""A request to stop is noted from the first moment of a process on, and acted on later."""

import os
import signal
import subprocess
import sys

import pytest

from megatron_ext.training.lifecycle import StopRequest


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
