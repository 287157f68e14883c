"""Processes on this machine: a command of ours, started once for each rank, or as a user would start it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from data_tools.processes import die_with_parent

POLL_SECONDS = 0.05
GRACE_SECONDS = 5.0
"""For ranks to say what is wrong themselves, once one has failed."""
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def inside_ranks() -> bool:
    """Whether a launcher (this one, torchrun, Slurm) has started this process as a rank."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ


def run_ranks(arguments: Sequence[str], *, processes: int) -> int:
    """Run `megatron-ext <arguments>` as `processes` ranks; returns the exit status, as `launch` does."""
    return launch([sys.executable, "-m", "megatron_ext", *arguments], processes=processes)


def run_command(*arguments: str) -> int:
    """A whole command of ours, with its checks and locks, as a process that ends with this one; its exit status.

    Signals are passed on to it, so that training saves before it stops.
    """
    command = [sys.executable, "-m", "megatron_ext", *arguments]
    process = subprocess.Popen(command, stdout=sys.stderr, preexec_fn=die_with_parent)
    with _signals_passed_on([process]):
        return process.wait()


def launch(command: Sequence[str], *, processes: int) -> int:
    """Run a command as `processes` ranks of one group; signals are passed on to all; returns the exit status.

    That is 0 if it is for all, else that of the rank that failed first; the others are ended soon after. torch's
    launcher answers 1 whatever failed, ends ranks 30 s after SIGTERM, while they may still be saving, and dies of
    SIGUSR1.

    Threads are shared out among the ranks unless OMP_NUM_THREADS says otherwise: with torch's default every rank
    would use every core, and they would slow each other down.
    """
    threads = max(1, (os.cpu_count() or 1) // processes)
    quiet = "ignore::UserWarning,ignore::FutureWarning"  # of torch and Megatron-core, dozens at each start
    defaults = {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": quiet}
    group = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    ranks = [
        subprocess.Popen(
            command, env=defaults | os.environ | group | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            preexec_fn=die_with_parent,
        )
        for rank in range(processes)
    ]  # fmt: skip

    with _signals_passed_on(ranks):
        return _status_of(ranks)


@contextmanager
def _signals_passed_on(processes: Sequence[subprocess.Popen]) -> Iterator[None]:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _status_of(ranks: Sequence[subprocess.Popen]) -> int:
    """Wait for all ranks; one that fails leaves the others in a collective that never ends, so they are killed."""
    failed, deadline = 0, None
    while any(rank.poll() is None for rank in ranks):
        failed = failed or next((rank.returncode for rank in ranks if rank.returncode), 0)
        if failed and deadline is None:
            deadline = time.monotonic() + GRACE_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            for rank in ranks:
                rank.kill()
        time.sleep(POLL_SECONDS)
    failed = failed or next((rank.returncode for rank in ranks if rank.returncode), 0)
    return 128 - failed if failed < 0 else failed


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
