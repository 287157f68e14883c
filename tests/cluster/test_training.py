"""Runs on a real Slurm of two nodes: however their jobs are stopped, the whole is the run that nothing has stopped."""

import json
import time

import pytest

from tests.cluster.conftest import JOB_SECONDS, NOTICE, STEPS, attempts, events
from tests.support import losses

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.mark.parametrize("how", ["torchrun", "srun"])
def test_a_job_on_two_nodes_trains_with_the_code_of_its_submission(how, launcher, undisturbed):
    mark = 'print("the code of the submission")'
    setup = [f"echo '{mark}' >> \"$submission/code/megatron_ext/__init__.py\""]
    job, run = launcher.launch(f"a run {how}", launcher.settings(steps=STEPS), launcher=how, setup=setup)
    launcher.wait_for_end(job, run)
    assert losses(run) == undisturbed
    assert launcher.log(run).count("the code of the submission") == 2
    assert [(line["outcome"], line["checkpoint"]) for line in attempts(run, "end")] == [("done", STEPS)]
    again = launcher.call(run.name, launcher.settings(steps=STEPS), "--json", launcher=how)
    assert json.loads(again.stdout)["state"] == "finished: nothing is queued"
    assert len(attempts(run, "start")) == 1


@pytest.mark.parametrize("how", ["torchrun", "srun"])
def test_before_the_time_limit_a_run_saves_is_queued_again_and_goes_on_at_the_next_sample(
    how, launcher, undisturbed, minutes
):
    settings = launcher.settings(steps=STEPS, checkpoint={"every": STEPS}, tracking={"wandb": "offline"})
    job, run = launcher.launch(
        f"limit {how}", settings, slow=60 * minutes / STEPS, launcher=how, time_limit=f"00:{minutes:02}:00",
        restarts={"notice": NOTICE},
    )  # fmt: skip
    launcher.wait_for_events(run, "stopped")
    launcher.hurry(run)
    launcher.wait_for_end(job, run)
    stops = events(run, "stopped")
    assert {stop["signal"] for stop in stops} == {"SIGUSR1"}
    assert [start["step"] for start in events(run, "start")] == [0, *(stop["step"] for stop in stops)]
    assert losses(run) == undisturbed
    curves = {path.name for path in run.glob("wandb/offline-run-*/run-*.wandb")}
    assert curves == {f"run-{(run / 'wandb_id').read_text().strip()}.wandb"}


def test_a_job_queued_again_while_it_saves_goes_on_from_a_whole_checkpoint(launcher, slurm, undisturbed):
    job, run = launcher.launch("mid-save", launcher.settings(steps=STEPS, checkpoint={"every": 10}), slow=1)
    slurm.wait_until(lambda: list(run.glob("checkpoints/*.partial")), "a save that is under way", JOB_SECONDS)
    slurm.run("scontrol", "requeue", job)
    launcher.wait_for_events(run, "start", 2)
    launcher.hurry(run)
    launcher.wait_for_end(job, run)
    assert losses(run) == undisturbed


@pytest.mark.parametrize("partition", ["low", "graceful"])
def test_a_job_that_gives_way_to_a_higher_partition_saves_first_and_comes_back(partition, launcher, slurm, undisturbed):
    settings = launcher.settings(steps=STEPS, checkpoint={"every": STEPS})
    job, run = launcher.launch(f"preempted {partition}", settings, slow=1, partition=partition)
    launcher.wait_for_events(run, "step", 5)
    other = slurm.run("sbatch", "--parsable", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null",
                      "--wrap", "sleep 5")  # fmt: skip
    launcher.wait_for_events(run, "stopped")
    launcher.hurry(run)
    slurm.wait_until(lambda: slurm.job_state(other) == "COMPLETED", "the other job to be done", JOB_SECONDS)
    launcher.wait_for_end(job, run)
    assert losses(run) == undisturbed


@pytest.mark.parametrize("lost", ["slurmd", "node"])
def test_a_job_that_loses_a_node_or_its_slurmd_goes_on_once_there_are_nodes_again(lost, launcher, slurm, undisturbed):
    job, run = launcher.launch(f"lost {lost}", launcher.settings(steps=STEPS, checkpoint={"every": 5}), slow=3)
    launcher.wait_for_events(run, "checkpoint")
    slurm.kill_node("n2", with_jobs=lost == "node")
    try:
        slurm.wait_until(lambda: slurm.job_state(job) == "PENDING", "the job to be queued again", 120)
    finally:
        slurm.start_node("n2")
    launcher.hurry(run)
    launcher.wait_for_end(job, run)
    assert [line["job"] for line in attempts(run, "start")] == [job, job]
    assert losses(run) == undisturbed


def test_a_job_that_only_crashes_is_stopped_and_the_run_folder_says_why(launcher):
    settings = launcher.settings(steps=STEPS, limits={"hang_minutes": 0.001})  # less than any start takes
    job, run = launcher.launch("crashing", settings, nodes=1, restarts={"notice": 5, "most_without_checkpoint": 2})
    launcher.wait_for_end(job, run, "FAILED")
    assert [line["outcome"] for line in attempts(run, "end")] == ["failed with status 1"] * 2
    reason = (run / "crash_loop.txt").read_text()
    assert f"Job {job} was started 2 times without a new checkpoint" in reason
    assert "Newest checkpoint: none" in reason


def test_SAVE_and_STOP_in_the_run_folder_are_heeded_and_a_stopped_job_stays_so(launcher):
    job, run = launcher.launch("asked", launcher.settings(steps=100_000, checkpoint={"every": 100_000}))
    launcher.wait_for_events(run, "step", 3)
    (run / "SAVE").touch()
    launcher.wait_for_events(run, "checkpoint")
    (run / "STOP").touch()
    launcher.wait_for_end(job, run)
    assert [stop["signal"] for stop in events(run, "stopped")] == ["STOP"]
    assert len(events(run, "checkpoint")) == 2
    assert not (run / "SAVE").exists()
    assert not (run / "STOP").exists()
    assert "stopped by the file STOP" in attempts(run, "end")[-1]["outcome"]


def test_a_job_that_was_cancelled_is_not_queued_again(launcher, slurm):
    job, run = launcher.launch("cancelled", launcher.settings(steps=100_000))
    launcher.wait_for_events(run, "step", 3)
    slurm.run("scancel", job)
    slurm.wait_until(lambda: not slurm.run("squeue", "--noheader"), "the job to be gone", 120)
    time.sleep(3)
    assert slurm.job_state(job) == "CANCELLED"
    assert slurm.run("squeue", "--noheader") == ""
