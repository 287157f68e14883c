"""Curves reach events.jsonl, TensorBoard and W&B, whatever happens to boards; read back with their own tools."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from megatron_ext.config import run_from_dict
from megatron_ext.training import boards, tracking
from megatron_ext.training.boards import section_of
from megatron_ext.training.tracking import EVENTS, WANDB_ID, Tracker, alerts_of, cut_torn_line, wandb_id
from tests.support import ROOT, run_settings

TRACKED = Path(__file__).with_name("tracked.py")


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """A loaded machine takes its time; what a run waits for at most is not tested here."""
    monkeypatch.setattr(boards, "OPENING_SECONDS", 300)
    monkeypatch.setattr(boards, "CLOSING_SECONDS", 300)


def tracker_of(folder, *, wandb="disabled", tensorboard=False):
    settings = run_settings(Path("corpus"), steps=4, tracking={"wandb": wandb, "tensorboard": tensorboard})
    return Tracker(folder, run_from_dict(settings, where="test"), run_id="abcd1234", active=True)


def values(step):
    return {"step": step, "tokens": step * 128, "loss": 5.0 - step, "loss/real": 4.0 - step}


def log(folder, steps, **boards):
    tracker = tracker_of(folder, **boards)
    for step in steps:
        tracker.step(**values(step))
    tracker.close()


def events_of(folder):
    return [json.loads(line) for line in (folder / EVENTS).read_text().splitlines()]


def steps_in(folder):
    return [event["step"] for event in events_of(folder) if event["event"] == "step"]


def wandb_files(folder):
    return sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"))


def wandb_history(path):
    """Every point, as W&B's own reader shows it."""
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    records = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return [record["history"]["item"] for record in records if record.get("type") == "history"]


def start(folder, mode, first, last, **environment):
    inherited = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}  # this process' own
    return subprocess.Popen(
        [sys.executable, str(TRACKED), str(folder), mode, str(first), str(last)], cwd=ROOT,
        env=inherited | {"PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


def until(true):
    for _ in range(1200):
        if true():
            return
        time.sleep(0.25)
    raise AssertionError("it did not happen")


def go_on(folder, process):
    folder.with_suffix(".go_on").touch()
    assert process.wait(timeout=300) == 0


def test_offline_wandb_and_tensorboard_hold_every_step_also_those_trained_twice(tmp_path):
    log(tmp_path, [1, 2, 3], wandb="offline", tensorboard=True)
    log(tmp_path, [3, 4], wandb="offline", tensorboard=True)  # as after a kill: step 3 is trained again
    assert steps_in(tmp_path) == [1, 2, 3, 3, 4]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {(point.step, point.value) for point in board.Scalars("loss")} >= {(128, 4.0), (384, 2.0), (512, 1.0)}
    assert {point.value for point in board.Scalars("loss/real")} >= {3.0, 1.0, 0.0}
    assert {path.stem for path in wandb_files(tmp_path)} == {"run-abcd1234"}
    history = [point for path in wandb_files(tmp_path) for point in wandb_history(path)]
    assert [point["tokens"] // 128 for point in history] == [1, 2, 3, 3, 4]
    assert [point["loss/real"] for point in history] == [3, 2, 1, 1, 0]
    assert [point["_step"] for point in history] == [1, 2, 3, 4, 5], "W&B drops steps that go back"


def test_what_is_measured_between_steps_is_an_event_of_its_own_and_a_curve_on_every_board(tmp_path):
    tracker = tracker_of(tmp_path, wandb="offline", tensorboard=True)
    tracker.measured("probes", board="knowledge", step=0, tokens=0, **{"once/semantic": -2.5})
    tracker.step(**values(1))
    tracker.close()
    assert [(event["event"], event["step"]) for event in events_of(tmp_path)] == [("probes", 0), ("step", 1)]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(point.step, point.value) for point in board.Scalars("knowledge/once/semantic")] == [(0, -2.5)]
    points = wandb_history(wandb_files(tmp_path)[0])
    assert any("knowledge/once/semantic" in str(point) for point in points)
    assert any("loss" in str(point) for point in points)


def test_the_runs_of_an_experiment_are_a_group_on_wandb(tmp_path):
    tracking = {"wandb": "offline", "tensorboard": False, "group": "sbp_1t", "job_type": "baseline"}
    config = run_from_dict(run_settings(Path("corpus"), steps=4, tracking=tracking), where="test")
    Tracker(tmp_path, config, run_id="abcd1234", active=True).close()
    [file] = wandb_files(tmp_path)
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(file)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [run] = [record["run"] for record in map(json.loads, printed.splitlines()) if record.get("type") == "run"]
    assert (run["run_group"], run["job_type"]) == ("sbp_1t", "baseline")


def test_a_run_that_is_killed_before_its_first_checkpoint_stays_one_wandb_run(tmp_path):
    folder = tmp_path / "run"
    process = start(folder, "offline", 1, 3)
    until(lambda: wandb_files(folder) and len(wandb_history(wandb_files(folder)[0])) == 3)
    process.kill()
    process.wait()
    assert steps_in(folder) == [1, 2, 3]
    go_on(folder, start(folder, "offline", 1, 2))
    assert steps_in(folder) == [1, 2, 3, 1, 2, 3]
    run = (folder / WANDB_ID).read_text().strip()
    assert [path.stem for path in wandb_files(folder)] == [f"run-{run}"] * 2
    assert [len(wandb_history(path)) for path in wandb_files(folder)] == [3, 3]


def test_the_id_of_the_folder_wins_over_that_of_a_checkpoint_brought_from_elsewhere(tmp_path):
    assert wandb_id(tmp_path / "lost its own", "of the checkpoint") == "of the checkpoint"
    own = wandb_id(tmp_path / "new", None)
    assert wandb_id(tmp_path / "new", None) == wandb_id(tmp_path / "new", "of another run") == own


def test_online_without_a_key_falls_back_to_offline_and_says_so(tmp_path):
    keyless = {"HOME": str(tmp_path), "WANDB_API_KEY": "", "NETRC": str(tmp_path / "none")}
    process = start(tmp_path / "run", "online", 1, 3, **keyless)
    go_on(tmp_path / "run", process)
    told = [event for event in events_of(tmp_path / "run") if event["event"] == "wandb_offline"]
    assert len(told) == 1
    assert "API key" in told[0]["reason"]
    assert len(wandb_history(wandb_files(tmp_path / "run")[0])) == 4


def test_online_without_a_network_delays_no_step_and_falls_back_to_offline(tmp_path, monkeypatch):
    monkeypatch.setattr(boards, "OPENING_SECONDS", 2)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    began = time.monotonic()
    tracker = tracker_of(tmp_path, wandb="online")
    for step in range(1, 501):
        tracker.step(**values(step))
    assert time.monotonic() - began < 1.0
    tracker.close()
    assert [event["event"] for event in events_of(tmp_path) if event["event"] != "step"] == ["wandb_offline"]
    assert len(wandb_history(wandb_files(tmp_path)[0])) == 500


def test_a_wandb_that_dies_is_let_go_and_training_goes_on(tmp_path):
    folder = tmp_path / "run"
    process = start(folder, "offline", 1, 3)
    until(lambda: wandb_files(folder))
    service = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout
    os.kill(int(service), signal.SIGKILL)
    go_on(folder, process)
    assert steps_in(folder) == [1, 2, 3, 4]
    assert [event["board"] for event in events_of(folder) if event["event"] == "board_lost"] == ["wandb"]


def test_a_torn_last_event_is_cut_when_a_run_goes_on(tmp_path):
    log(tmp_path, [1])
    with (tmp_path / EVENTS).open("a") as file:
        file.write('{"event": "st')
    log(tmp_path, [2])
    assert steps_in(tmp_path) == [1, 2]


@pytest.mark.parametrize(("text", "left"), [("", ""), ("a\nb\n", "a\nb\n"), ("torn", ""), ("a\nbb\nccc", "a\nbb\n")])
def test_whole_lines_are_counted_and_kept(text, left, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "READ_CHUNK", 2)
    (tmp_path / EVENTS).write_text(text)
    assert cut_torn_line(tmp_path / EVENTS) == left.count("\n")
    assert (tmp_path / EVENTS).read_text() == left


def test_a_loss_that_is_no_number_is_written_as_text_that_any_reader_takes(tmp_path):
    tracker = tracker_of(tmp_path)
    tracker.event("skipped", step=3, loss=math.nan, grad_norm=math.inf)
    tracker.close()
    assert events_of(tmp_path)[0] | {"time": 0} == {
        "event": "skipped", "time": 0, "step": 3, "loss": "nan", "grad_norm": "inf",
    }  # fmt: skip


def test_figures_stand_in_four_sections_under_the_loss():
    names = ["loss", "loss/real", "epochs/real", "trained_tokens", "mfu", "data_wait", "lr", "grad_norm"]
    assert [section_of(name) for name in names] == [
        "loss", "loss/real", "budget/epochs/real", "budget/trained_tokens", "speed/mfu", "speed/data_wait",
        "health/lr", "health/grad_norm",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "values", "starts", "said"),
    [
        ("stopped", {"step": 4000, "signal": "SIGUSR1"}, [0], "Stopped by SIGUSR1 after step 4,000"),
        ("spike", {"step": 7, "file": "spikes/7.jsonl"}, [0], "spikes/7.jsonl"),
        ("checkpoint_failed", {"problem": "no space left"}, [0], "no space left"),
        ("start", {"step": 30}, [0, 30, 30], "The last 3 starts went on from the same step, 30"),
    ],
)
def test_what_somebody_should_know_at_once_is_an_alert(event, values, starts, said):
    [(title, text)] = alerts_of(event, values, starts)
    assert said in text
    assert title


@pytest.mark.parametrize(("step", "starts"), [(0, []), (30, [30]), (40, [30, 30]), (30, [0, 30])])
def test_a_start_that_has_come_further_is_no_crash_loop(step, starts):
    assert list(alerts_of("start", {"step": step}, starts)) == []


def test_the_starts_of_a_run_are_remembered_when_it_is_started_again(tmp_path):
    for _ in range(2):
        tracker = tracker_of(tmp_path)
        tracker.event("start", step=30)
        tracker.close()
    assert tracking.steps_of_starts(tmp_path / EVENTS) == [30, 30]


def test_other_ranks_write_nothing(tmp_path):
    config = run_from_dict(run_settings(Path("corpus"), steps=4), where="test")
    tracker = Tracker(tmp_path / "run", config, run_id="abcd1234", active=False)
    tracker.step(**values(1))
    tracker.event("start")
    tracker.sync()
    tracker.close()
    assert not (tmp_path / "run").exists()
