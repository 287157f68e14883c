"""Processes that hang, and are ended by their watchdog with their stacks on the disk."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import ROOT

HEAD = """
import sys, time
from pathlib import Path
from megatron_ext.training.watchdog import Watchdog
run, rank = Path(sys.argv[1]), int(sys.argv[2])
"""
ENDLESS = (
    HEAD
    + """
def never_done():
    while True:
        pass
with Watchdog(run, rank=rank, limit=0.5) as watchdog:
    watchdog.alive("step 12")
    never_done()
"""
)
HOLDS_THE_INTERPRETER = (
    HEAD
    + """
import ctypes
def library_call():
    ctypes.PyDLL(None).sleep(60)
with Watchdog(run, rank=rank, limit=0.5) as watchdog:
    watchdog.alive("step 3")
    library_call()
"""
)
COLLECTIVE = (
    HEAD
    + """
import torch.distributed as dist
def reaches_the_collective():
    dist.barrier()
def never_reaches_it():
    time.sleep(60)
with Watchdog(run, rank=rank, limit=4) as watchdog:
    dist.init_process_group("gloo", init_method=f"file://{run}/store", rank=rank, world_size=2)
    dist.barrier()
    watchdog.alive("step 7")
    never_reaches_it() if rank else reaches_the_collective()
"""
)
GOES_ON = (
    HEAD
    + """
import os, signal
def work():
    os.kill(os.getpid(), signal.SIGUSR2)
with Watchdog(run, rank=rank, limit=5) as watchdog:
    watchdog.alive("step 1")
    work()
    for step in (2, 3):
        watchdog.alive(f"step {step}")
"""
)


def start(program, folder, rank=0):
    return subprocess.Popen([sys.executable, "-c", program, str(folder), str(rank)], cwd=ROOT)


def stacks(folder, rank=0):
    return (folder / "stacks" / f"rank_{rank:05d}.txt").read_text()


@pytest.mark.parametrize(("program", "function", "step"), [
    (ENDLESS, "never_done", "step 12"), (HOLDS_THE_INTERPRETER, "library_call", "step 3"),
], ids=["endless loop", "a call that holds the interpreter"])  # fmt: skip
def test_a_hang_leaves_stacks_with_step_and_time_and_ends_the_process(program, function, step, tmp_path):
    began = time.monotonic()
    process = start(program, tmp_path)
    assert process.wait(timeout=30) == 1
    assert time.monotonic() - began < 20
    found = stacks(tmp_path)
    assert re.match(rf"since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{{4}}: {step} +\n", found)
    assert f"in {function}" in found


def test_a_rank_that_never_reaches_a_collective_leaves_the_stacks_of_all(tmp_path):
    processes = [start(COLLECTIVE, tmp_path, rank) for rank in (0, 1)]
    assert [process.wait(timeout=120) for process in processes] == [1, 1]
    for rank, function in enumerate(["reaches_the_collective", "never_reaches_it"]):
        assert "step 7" in stacks(tmp_path, rank)
        assert f"in {function}" in stacks(tmp_path, rank)


def test_asking_for_stacks_with_sigusr2_writes_them_and_goes_on(tmp_path):
    assert start(GOES_ON, tmp_path).wait(timeout=30) == 0
    found = stacks(tmp_path)
    assert "step 1 " in found
    assert "in work" in found
    assert "step 3" not in found


def test_stacks_of_an_earlier_start_are_kept(tmp_path):
    for _ in range(2):
        start(ENDLESS, tmp_path).wait(timeout=30)
    assert stacks(tmp_path).count("in never_done") == 2


def test_a_process_that_ends_well_leaves_no_stacks(tmp_path):
    program = HEAD + "with Watchdog(run, rank=rank, limit=5) as watchdog:\n    watchdog.alive('step 1')\n"
    assert start(program, tmp_path).wait(timeout=30) == 0
    assert not list(Path(tmp_path / "stacks").iterdir())


def test_a_killed_process_leaves_the_line_that_says_what_it_did(tmp_path):
    process = start(ENDLESS.replace("limit=0.5", "limit=60"), tmp_path)
    while not list(tmp_path.glob("stacks/*.txt")) or "step 12" not in stacks(tmp_path):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert "step 12" in stacks(tmp_path)
