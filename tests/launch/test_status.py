"""`status` says what a run's folder says. The folders are written by what writes them in a run: its tracker."""

import json
import time
from pathlib import Path

import pytest

from data_tools.errors import InputError
from launch.status import RECENT, runs_below, status_of
from megatron_ext.cli.main import main
from megatron_ext.config import run_from_dict
from megatron_ext.training.tracking import Tracker
from tests.support import run_settings

STEPS = 100
TOKENS = 128
SECONDS = 2.0


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "experiment" / "arms" / "baseline"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"budget": {"steps": STEPS, "tokens": STEPS * TOKENS}}))
    return folder


def write(folder: Path, *, first: int, last: int, ending: str | None = None, **changes: float) -> None:
    """One start of a run: steps first + 1 to last."""
    config = run_from_dict(run_settings(Path("corpus"), steps=STEPS), where="test")
    tracker = Tracker(folder, config, run_id="id", active=True)
    tracker.event("start", step=first, steps=STEPS, ranks=1, plan="p")
    for step in range(first + 1, last + 1):
        values = {"seconds": SECONDS, "checkpoint_seconds": 0.5, "tokens_per_second": 64.0, "data_wait": 0.01}
        tracker.step(step=step, tokens=step * TOKENS, loss=1 / step, skipped_steps=0, **(values | changes))
    if ending:
        tracker.event(ending, step=last, **({"signal": "SIGUSR1"} if ending == "stopped" else {}))
    tracker.close()


def test_a_running_run_has_its_step_tokens_speed_and_time_left(run):
    write(run, first=0, last=40, mfu=0.41)
    found = status_of(run)
    assert (found.state, found.step, found.tokens, found.budget_tokens) == ("running", 40, 40 * TOKENS, STEPS * TOKENS)
    assert found.loss == pytest.approx(sum(1 / step for step in range(41 - RECENT, 41)) / RECENT)
    assert (found.tokens_per_second, found.mfu, found.data_wait) == (64.0, 0.41, 0.01)
    assert found.eta_seconds == pytest.approx(60 * 2.5)
    assert found.checkpoint_step is None
    assert found.restarts == []


def test_a_run_that_writes_nothing_for_long_is_called_silent(run):
    write(run, first=0, last=40)
    assert status_of(run, now=time.time() + 100).state == "running"
    assert status_of(run, now=time.time() + 1000).state == "silent"


def test_the_newest_checkpoint_is_told_with_its_age_and_a_half_written_one_is_not(run):
    write(run, first=0, last=40)
    for name in ("step_00000010", "step_00000030", "step_00000040.partial"):
        (run / "checkpoints" / name).mkdir(parents=True)
    found = status_of(run, now=time.time() + 60)
    assert found.checkpoint_step == 30
    assert found.checkpoint_age_seconds == pytest.approx(60, abs=5)


def test_a_restart_says_why_the_run_had_ended_and_what_is_trained_again(run):
    write(run, first=0, last=25, ending="stopped")
    write(run, first=25, last=37)
    write(run, first=30, last=31)
    asked, killed = status_of(run).restarts
    assert (asked["step"], asked["lost_steps"], asked["why"]) == (25, 0, "stopped by SIGUSR1")
    assert (killed["step"], killed["lost_steps"], killed["why"]) == (30, 7, "ended without a word")


def test_a_run_that_has_just_been_taken_up_stands_at_its_checkpoint(run):
    write(run, first=0, last=37)
    write(run, first=30, last=30)
    found = status_of(run)
    assert (found.step, found.tokens) == (30, 30 * TOKENS)


def test_starts_from_the_same_step_again_and_again_are_called_a_crash_loop(run):
    write(run, first=0, last=37)
    for _ in range(3):
        write(run, first=30, last=33)
    assert any("crash loop" in problem for problem in status_of(run).problems)


def test_stopped_and_finished_runs_are_told_apart(run):
    write(run, first=0, last=50, ending="stopped")
    assert status_of(run, now=time.time() + 1000).state == "stopped"
    write(run, first=50, last=STEPS, ending="end")
    (run / "manifest.json").write_text("{}")
    assert status_of(run).state == "finished"
    assert status_of(run).eta_seconds == 0


def test_what_went_wrong_on_the_way_is_said(run):
    write(run, first=0, last=3)
    config = run_from_dict(run_settings(Path("corpus"), steps=STEPS), where="test")
    tracker = Tracker(run, config, run_id="id", active=True)
    tracker.event("checkpoint_failed", problem="no space left")
    tracker.event("wandb_offline", reason="no route", fix="Upload the run later.")
    tracker.event("damaged", problem="step_00000002: weights differ")
    tracker.close()
    assert "no space left" in status_of(run).problems[0]
    assert any("no route" in problem for problem in status_of(run).problems)
    assert any("weights differ" in problem for problem in status_of(run).problems)


def test_a_line_that_is_being_written_is_left_out(run):
    write(run, first=0, last=40)
    with (run / "events.jsonl").open("ab") as file:
        file.write(b'{"event": "step", "step": 41, "tok')
    assert status_of(run).step == 40


def test_an_experiment_shows_all_its_runs_for_people_and_as_json(run, capsys):
    write(run, first=0, last=40)
    experiment = run.parents[1]
    assert runs_below(experiment) == [run]
    assert main(["status", str(experiment)]) == 0
    assert "arms/baseline" in capsys.readouterr().out
    assert main(["status", str(experiment), "--json"]) == 0
    [printed] = json.loads(capsys.readouterr().out)
    assert printed["step"] == 40
    assert printed["restarts"] == []


def test_a_folder_without_runs_is_refused(tmp_path, capsys):
    with pytest.raises(InputError, match="no run"):
        runs_below(tmp_path)
    assert main(["status", str(tmp_path)]) == 2
