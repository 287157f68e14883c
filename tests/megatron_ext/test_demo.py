"""The demo killed in each of its stages and started again ends as an undisturbed one: minutes long, so slow."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.support import ROOT

STAGES = 15


def start(output, log):
    command = [sys.executable, "-m", "megatron_ext", "demo", "--quick", "--output", str(output)]
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)


def wait_for_stage(log, process, number):
    while f"[{number:2}/{STAGES}]" not in log.read_text():
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.slow
def test_a_demo_killed_in_every_stage_ends_with_the_same_losses(tmp_path):
    undisturbed, killed, log = tmp_path / "undisturbed", tmp_path / "killed", tmp_path / "log"
    with log.open("w") as file:
        assert start(undisturbed, file).wait() == 0, log.read_text()[-3000:]
    draw, kills = random.Random(1), 0
    for number in range(1, STAGES + 1):
        with log.open("w") as file:
            process = start(killed, file)
            if wait_for_stage(log, process, number):
                time.sleep(draw.uniform(0, 6) if number in (5, 8, 9, 10, 11, 12, 14) else draw.uniform(0, 0.3))
                process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
    with log.open("w") as file:
        assert start(killed, file).wait() == 0, log.read_text()[-3000:]
    assert kills >= STAGES - 2, f"only {kills} kills hit their stage"
    results = [json.loads((folder / "evaluation/results.json").read_text()) for folder in (undisturbed, killed)]
    assert results[0] == results[1]
    assert not list(killed.glob("*.partial"))
