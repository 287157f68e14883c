"""Curves reach events.jsonl, TensorBoard and W&B; read back with their own tools."""

import json
import subprocess
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from megatron_ext.config import run_from_dict
from megatron_ext.training.tracking import EVENTS, Tracker
from tests.support import run_settings


def steps_in(events):
    return [json.loads(line)["step"] for line in events.read_text().splitlines() if '"step"' in line]


def log(folder, config, steps):
    tracker = Tracker(folder, config, run_id="abcd1234", active=True)
    for step in steps:
        tracker.step(step=step, tokens=step * 128, loss=5.0 - step)
    tracker.close()


def test_offline_wandb_and_tensorboard_hold_every_step_also_those_trained_twice(tmp_path):
    tracking = {"wandb": "offline", "tensorboard": True}
    config = run_from_dict(run_settings(Path("corpus"), steps=4, tracking=tracking), where="test")
    log(tmp_path, config, [1, 2, 3])
    log(tmp_path, config, [3, 4])  # as after a kill: step 3 is trained again
    assert steps_in(tmp_path / EVENTS) == [1, 2, 3, 3, 4]
    curves = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("train/loss")
    assert {(point.step, point.value) for point in curves} >= {(128, 4.0), (384, 2.0), (512, 1.0)}
    logs = list((tmp_path / "wandb").glob("offline-run-*/run-abcd1234.wandb"))
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json"]
    printed = "".join(
        subprocess.run([*command, str(path)], capture_output=True, text=True, check=True).stdout for path in logs
    )
    history = [line for line in printed.splitlines() if '"type":"history"' in line]
    assert len(history) == 5
    assert any('"train/loss":' in line for line in history)


def test_a_torn_last_event_is_cut_when_a_run_goes_on(tmp_path):
    tracking = {"wandb": "disabled", "tensorboard": False}
    config = run_from_dict(run_settings(Path("corpus"), steps=4, tracking=tracking), where="test")
    log(tmp_path, config, [1])
    with (tmp_path / EVENTS).open("a") as file:
        file.write('{"event": "st')
    log(tmp_path, config, [2])
    assert steps_in(tmp_path / EVENTS) == [1, 2]
