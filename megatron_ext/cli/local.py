"""Rank processes on this machine: a command of ours, started once for each rank by torch's launcher."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from data_tools.errors import InputError

PR_SET_PDEATHSIG = 1
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def inside_ranks() -> bool:
    """Whether a launcher (this one, torchrun, Slurm through torchrun) has started this process as a rank."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ


def run_ranks(arguments: Sequence[str], *, processes: int) -> int:
    """Run `megatron-ext <arguments>` as `processes` ranks; signals are passed on; returns the exit status.

    Threads are shared out among the ranks unless OMP_NUM_THREADS says otherwise: with torch's default every rank
    would use every core, and they would slow each other down.
    """
    threads = max(1, (os.cpu_count() or 1) // processes)
    quiet = "ignore::UserWarning,ignore::FutureWarning"  # of torch and Megatron-core, dozens at each start
    defaults = {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": quiet}
    environment = defaults | os.environ
    command = [sys.executable, "-m", "megatron_ext", *arguments]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
        command = [sys.executable, *launcher, "megatron_ext", *arguments]
    else:
        environment |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    child = subprocess.Popen(command, env=environment, preexec_fn=die_with_parent)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        status = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - status if status < 0 else status


def die_with_parent() -> None:
    """From now on this process is killed when the one that started it ends, however that ends (Linux only).

    Without it, ranks outlive a launcher that was killed, and go on writing to a run folder that is being resumed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def check_processes(processes: int, *, tensor: int, pipeline: int, where: Path | str) -> None:
    """Refuse a number of processes that the layout can't use, before any of them is started."""
    needed = tensor * pipeline
    if processes < 1 or processes % needed:
        raise InputError(
            where=f"{where}, key 'layout'",
            found=f"{processes} processes for tensor {tensor} x pipeline {pipeline}",
            expected=f"a multiple of {needed}",
            fix=f"Start with --processes {max(needed, processes // needed * needed)}, or choose a smaller layout.",
        )
