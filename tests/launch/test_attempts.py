"""What becomes of a job is decided by its run folder: done, stopped, to be queued again, or not any more."""

import json
import time

import pytest

from launch import attempt, attempts
from launch.attempt import EXIT_AGAIN


@pytest.fixture
def run(tmp_path):
    (tmp_path / "launch" / "0001").mkdir(parents=True)
    return tmp_path


def log(run, *events):
    with (run / "events.jsonl").open("a") as file:
        file.writelines(json.dumps({"time": time.time()} | event) + "\n" for event in events)


def save(run, step):
    (run / "checkpoints" / f"step_{step:08d}").mkdir(parents=True)


def begin(run, *, job="7", most=2):
    return attempt.begin(run, run / "launch" / "0001", job, most=most)


def end(run, status, *, job="7", most=2):
    return attempt.end(run, run / "launch" / "0001", job, most=most, status=status)


def test_a_run_that_has_reached_its_end_is_done(run):
    (run / "manifest.json").touch()
    assert end(run, 0) == 0


def test_a_run_that_a_signal_has_stopped_is_queued_again(run):
    stopped = {"event": "stopped", "step": 9, "signal": "SIGUSR1"}
    log(run, {"event": "start", "step": 0}, stopped, {"event": "board_lost"})
    assert end(run, 0) == EXIT_AGAIN
    assert end(run, 1) == EXIT_AGAIN  # of torchrun, which was told to stop too
    assert attempts.attempts(run)[-1]["outcome"] == "stopped by SIGUSR1 after step 9"


def test_a_run_that_a_person_has_stopped_is_not_queued_again(run):
    log(run, {"event": "stopped", "step": 9, "signal": "STOP"})
    assert (end(run, 0), end(run, 1)) == (0, 0)


def test_a_stop_of_an_earlier_start_says_nothing_of_this_one(run):
    log(run, {"event": "stopped", "step": 9, "signal": "STOP", "time": time.time() - 60})
    assert (begin(run), end(run, 1)) == (0, EXIT_AGAIN)


def test_a_run_that_did_not_save_when_a_person_stopped_it_fails_and_is_not_queued_again(run):
    (run / "STOP").touch()
    assert end(run, 137) == 137


def test_a_run_that_was_refused_is_not_queued_again(run):
    assert end(run, 2) == 2


def test_the_end_of_an_earlier_shorter_run_does_not_hide_a_failure(run):
    (run / "manifest.json").touch()
    assert end(run, 1) == EXIT_AGAIN


def test_a_job_that_crashes_without_a_new_checkpoint_is_given_up_with_the_reason_in_the_run_folder(run):
    save(run, 10)
    assert (begin(run), end(run, 1)) == (0, EXIT_AGAIN)
    assert (begin(run), end(run, 9)) == (0, 1)
    reason = (run / "crash_loop.txt").read_text()
    assert "Job 7 was started 2 times without a new checkpoint" in reason
    assert "Newest checkpoint: step 10." in reason
    assert "failed with status 9" in reason


def test_a_job_whose_nodes_are_lost_again_and_again_is_given_up_at_its_next_start(run):
    assert (begin(run), begin(run), begin(run)) == (0, 0, 1)


def test_a_new_checkpoint_gives_a_job_all_its_starts_again(run):
    assert (begin(run), end(run, 1)) == (0, EXIT_AGAIN)
    assert begin(run) == 0
    save(run, 20)
    assert end(run, 1) == EXIT_AGAIN
    assert (begin(run), end(run, 1)) == (0, EXIT_AGAIN)


def test_another_job_for_the_same_run_starts_anew(run):
    assert (begin(run), end(run, 1), begin(run), end(run, 1)) == (0, EXIT_AGAIN, 0, 1)
    assert begin(run, job="8") == 0


def test_a_half_written_checkpoint_is_no_new_one(run):
    save(run, 10)
    (run / "checkpoints" / "step_00000020.partial").mkdir()
    assert attempts.newest_step(run) == 10


def test_a_line_that_a_kill_left_torn_costs_only_itself(run):
    begin(run)
    with (run / "launch" / "attempts.jsonl").open("a") as file:
        file.write('{"attempt": "sta')
    begin(run)
    assert [line["job"] for line in attempts.attempts(run)] == ["7", "7"]


def test_the_notice_before_the_time_limit_follows_the_slowest_measured_save(run):
    assert attempts.notice(attempts.pace(run), first=600) == 600
    log(run, {"event": "start", "ranks": 8}, {"event": "step", "seconds": 20.0, "tokens_per_second": 1000.0},
        {"event": "checkpoint", "seconds": 31.0}, {"event": "checkpoint", "seconds": 100.0})  # fmt: skip
    assert attempts.notice(attempts.pace(run), first=600) == 280  # 60 + 2 x 100 + 20
    assert attempts.pace(run).ranks == 8


def test_the_jobs_of_a_run_are_those_submitted_and_those_that_began_by_hand(run):
    (run / "launch" / "0001" / "submission.json").write_text('{"job": "5", "script": "f"}')
    begin(run, job="5")
    begin(run, job="6")
    assert attempts.jobs(run) == ["5", "6"]
    assert attempts.next_submission(run).name == "0002"
