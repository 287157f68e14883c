"""`status` says what a run's folder says, written by what writes it in a run: its tracker and its job.

What a real Slurm answers is tested in tests/cluster/test_watching.py; here `squeue` is a script with a known answer.
"""

import json
import time
from pathlib import Path

import pytest

from data_tools.errors import InputError
from launch.attempts import note
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
    time.sleep(0.002)  # times are told to milliseconds, and what came before has to be earlier
    config = run_from_dict(run_settings(Path("corpus"), steps=STEPS), where="test")
    tracker = Tracker(folder, config, run_id="id", active=True)
    tracker.event("start", step=first, steps=STEPS, ranks=1, plan="p")
    for step in range(first + 1, last + 1):
        values = {"seconds": SECONDS, "checkpoint_seconds": 0.5, "tokens_per_second": 64.0, "data_wait": 0.01}
        tracker.step(step=step, tokens=step * TOKENS, loss=1 / step, skipped_steps=0, **(values | changes))
    if ending:
        tracker.event(ending, step=last, **({"signal": "SIGUSR1"} if ending == "stopped" else {}))
    tracker.close()
    time.sleep(0.002)


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
    [printed] = json.loads(capsys.readouterr().out)["runs"]
    assert printed["step"] == 40
    assert printed["restarts"] == []


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """queue(lines): from now on `squeue` answers with them; without lines there is no Slurm."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))

    def answer(*lines: str) -> None:
        script = programs / "squeue"
        script.write_text("#!/bin/bash\n" + "".join(f"echo '{line}'\n" for line in lines))
        script.chmod(0o755)

    return answer


def submit(folder: Path, job: str) -> None:
    submission = folder / "launch" / "0001"
    submission.mkdir(parents=True)
    (submission / "submission.json").write_text(json.dumps({"job": job}))


def seen(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict, str]:
    """(what `status --json` says, what people see)."""
    assert main(["status", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["status", str(folder)]) == 0
    return found, capsys.readouterr().out


def test_a_job_that_waits_is_shown_before_its_run_has_a_plan(run, queue, capsys):
    (run / "plan.json").unlink()
    submit(run, "12")
    queue("12|12|PENDING|2026-11-21T23:00:00|8||(null)|Resources")
    found, screen = seen(run.parent, capsys)
    assert found["runs"][0]["state"] == "not started"
    job = found["jobs"][0]
    assert (job["id"], job["state"], job["reason"], job["nodes"]) == ("12", "PENDING", "Resources", "8")
    assert job["start"] == "2026-11-21T23:00:00"
    assert "Resources" in screen
    assert "2026-11-21T23:00:00" in screen


def test_without_slurm_the_rest_is_shown_and_the_reason_said(run, queue, capsys):
    write(run, first=0, last=40)
    submit(run, "12")
    found, screen = seen(run, capsys)
    assert found["runs"][0]["step"] == 40
    assert found["jobs"][0]["state"] is None
    assert found["queue_problem"] == "no squeue on this machine"
    assert "no squeue on this machine" in screen


def test_what_became_of_each_start_is_told_from_the_jobs_own_notes(run, queue, capsys):
    submit(run, "12")
    queue("12|12|RUNNING|2026-11-21T22:00:00|2|n[1-2]|(null)|None")
    note(run, "start", job="12", restart=0, nodes="n[1-2]", checkpoint=None)
    write(run, first=0, last=25)
    note(run, "start", job="12", restart=1, nodes="n[1-2]", checkpoint=20)
    write(run, first=20, last=30)
    note(run, "end", job="12", status=1, outcome="failed with status 1", checkpoint=20)
    note(run, "start", job="12", restart=2, nodes="n[1-2]", checkpoint=20)
    write(run, first=20, last=31)
    found, screen = seen(run, capsys)
    lost, failed = found["runs"][0]["restarts"]
    assert lost["why"] == "ended without a word, and so did job 12: it lost a node, was requeued or cancelled"
    assert failed["why"] == "failed with status 1"
    job = found["jobs"][0]
    assert (job["state"], job["nodes"], job["starts"], job["last_end"]) == ("RUNNING", "n[1-2]", 3, failed["why"])
    assert [line["attempt"] for line in job["history"]] == ["start", "start", "end", "start"]
    assert "n[1-2]" in screen


def test_a_job_that_was_given_up_is_shown_with_its_reason(run, queue, capsys):
    submit(run, "12")
    queue()
    (run / "crash_loop.txt").write_text(
        "Job 12 was started 3 times without a new checkpoint; it is not queued again.\n"
    )
    found, screen = seen(run, capsys)
    assert found["jobs"][0]["state"] == "not in the queue"
    assert found["runs"][0]["gave_up"] in screen


def test_a_node_that_was_found_unfit_is_named_until_it_is_sound_again(run, queue, capsys):
    submit(run, "12")
    lines = [{"node": "n1", "fault": "its clock is +3.000 s off"}, {"node": "n2", "fault": "1 GPUs seen"},
             {"node": "n1", "fault": None}]  # fmt: skip
    (run / "launch" / "nodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found, screen = seen(run, capsys)
    assert found["runs"][0]["bad_nodes"] == {"n2": "1 GPUs seen"}
    assert "node n2 is left out: 1 GPUs seen" in screen


def test_jobs_of_an_experiment_that_wait_for_others_are_shown_each_member_of_an_array_too(run, queue, capsys):
    experiment = run.parents[1]
    submit(run, "12")
    (experiment / "launch").mkdir()
    jobs = {"baseline": "12", "synthesis": "13", "report": "14"}
    graph = {"stages": {name: {"job": job, "needs": []} for name, job in jobs.items()}}
    (experiment / "launch" / "graph.json").write_text(json.dumps(graph))
    queue(
        "12|12|RUNNING|2026-11-21T22:00:00|2|n[1-2]|(null)|None",
        "13|13_[2-3]|PENDING|N/A|1||afterok:12(unfulfilled)|Dependency",
        "13|13_1|RUNNING|2026-11-21T22:00:00|1|n1|(null)|None",
        "14|14|PENDING|N/A|1||afterok:13_*(unfulfilled)|Dependency",
    )
    found, screen = seen(experiment, capsys)
    assert [(job["id"], job["state"]) for job in found["jobs"]] == [
        ("12", "RUNNING"), ("13_[2-3]", "PENDING"), ("13_1", "RUNNING"), ("14", "PENDING"),
    ]  # fmt: skip
    assert found["jobs"][-1]["after"] == "afterok:13_*(unfulfilled)"
    assert "afterok:13_*(unfulfilled)" in screen


def test_an_array_of_many_members_takes_two_lines_of_the_screen(run, queue, capsys):
    experiment = run.parents[1]
    (experiment / "launch").mkdir()
    graph = {"stages": {"synthesis": {"job": "13"}, "report": {"job": "14"}}}
    (experiment / "launch" / "graph.json").write_text(json.dumps(graph))
    queue(*(f"13|13_{member}|RUNNING|2026-11-21T22:00:00|1|n{member}|(null)|None" for member in range(64)))
    found, screen = seen(experiment, capsys)
    assert len(found["jobs"]) == 65
    assert screen.count("RUNNING") == 2
    assert "+ 63" in screen
    assert "report: job 14 has left the queue" in screen


def test_of_jobs_that_have_left_the_queue_it_is_told_which_stages_are_done_and_where_the_others_have_printed(
    run, queue, capsys
):
    experiment = run.parents[1]
    submit(run, "12")
    (run / "launch" / "0001" / "12.log").touch()
    (experiment / "launch" / "0001").mkdir(parents=True)
    for file in ("pairs.13_0.log", "pairs.13_1.log"):
        (experiment / "launch" / "0001" / file).touch()
    (experiment / "report.html").touch()
    logs = f"{experiment}/launch/0001"
    graph = {"stages": {
        "pairs": {"job": "13", "outputs": ["pairs"], "log": f"{logs}/pairs.13_%a.log"},
        "evaluation": {"job": "14", "outputs": ["evaluation"], "log": f"{logs}/evaluation.14.log"},
        "report": {"job": "15", "outputs": ["report.html"], "log": f"{logs}/report.15.log"},
    }}  # fmt: skip
    (experiment / "launch" / "graph.json").write_text(json.dumps(graph))
    queue()
    screen = seen(experiment, capsys)[1].replace("\n", "")
    assert "Done: report" in screen
    assert f"pairs: job 13 has left the queue; its log: {logs}/pairs.13_*.log" in screen
    assert "evaluation: job 14 has left the queue; it has printed nothing" in screen
    assert f"job 12 has left the queue; its log: {run}/launch/0001/12.log" in screen


def test_a_folder_without_runs_is_refused(tmp_path, capsys):
    with pytest.raises(InputError, match="no run"):
        runs_below(tmp_path)
    assert main(["status", str(tmp_path)]) == 2
