"""Real runs that are stopped while they start, hang, diverge or spike: what is left, and what the exit status says."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from megatron_ext.training.tracking import EVENTS, WANDB_ID
from tests.support import losses, make_corpus, run_settings, start, train, wait_for_step


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("life"))


def events(run, name):
    return [event for event in map(json.loads, (run / EVENTS).read_text().splitlines()) if event["event"] == name]


def test_a_stop_asked_for_while_the_run_starts_ends_it_cleanly_without_a_checkpoint(corpus, tmp_path):
    run = tmp_path / "run"
    process = start(run, run_settings(corpus, steps=500))
    while not list((run / "stacks").glob("rank_*.txt")):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    for _ in range(2):  # schedulers repeat themselves
        os.kill(process.pid, signal.SIGTERM)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    assert [event["step"] for event in events(run, "stopped")] == [0]
    assert losses(run) == []
    assert not list((run / "checkpoints").glob("step_*"))


@pytest.mark.slow
def test_a_run_that_hangs_ends_with_status_1_and_leaves_its_stacks(corpus, tmp_path):
    run = tmp_path / "run"
    process = start(run, run_settings(corpus, steps=5000, limits={"hang_minutes": 0.5}), processes=2)
    wait_for_step(run, process, 3)
    other = rank_of(process, 1)
    os.kill(other, signal.SIGSTOP)  # its neighbour waits in a collective from now on
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 1, printed
    stacks = (run / "stacks" / "rank_00000.txt").read_text()
    assert "most recent call first" in stacks
    assert "all_reduce" in stacks or "forward" in stacks


def rank_of(process, number):
    """The process of a rank, below the command that started it."""
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout
    environments = {child: Path(f"/proc/{child}/environ").read_bytes().split(b"\0") for child in children.split()}
    [found] = [int(child) for child, settings in environments.items() if f"RANK={number}".encode() in settings]
    return found


def test_a_run_that_diverges_stops_with_status_1_and_names_its_steps(corpus, tmp_path):
    run = tmp_path / "run"
    schedule = {"peak_lr": 1e38, "decay": "constant"}
    process = start(run, run_settings(corpus, steps=9, schedule=schedule, limits={"skipped_steps": 2}))
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "limits.skipped_steps" in printed
    assert "Traceback" not in printed
    skipped = events(run, "skipped")
    assert [event["skipped_steps"] for event in skipped] == [1, 2, 3]
    assert all(event["first_sample"] == 8 * (event["step"] - 1) for event in skipped)


def test_a_spike_is_kept_with_the_samples_of_its_step(corpus, tmp_path):
    run = tmp_path / "run"
    schedule = {"peak_lr": 1e-9, "decay": "constant"}
    train(run, run_settings(corpus, steps=40, schedule=schedule, limits={"spike_deviations": 0.5}))
    spikes = events(run, "spike")
    assert spikes
    assert min(spike["step"] for spike in spikes) > 20
    kept = json.loads((run / spikes[0]["file"]).read_text())
    assert kept["loss"] == losses(run)[kept["step"] - 1]
    assert [sample["sample"] for sample in kept["samples"]] == list(range(8 * kept["step"] - 8, 8 * kept["step"]))


def test_a_run_killed_before_its_first_checkpoint_is_one_wandb_run_when_started_again(corpus, tmp_path):
    run = tmp_path / "run"
    settings = run_settings(corpus, steps=60, tracking={"wandb": "offline", "tensorboard": False})
    process = start(run, settings)
    while not (run / EVENTS).exists() or not events(run, "step"):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not list((run / "checkpoints").glob("step_????????"))
    train(run, settings)
    files = [path.name for path in (run / "wandb").glob("offline-run-*/run-*.wandb")]
    assert set(files) == {f"run-{(run / WANDB_ID).read_text().strip()}.wandb"}
