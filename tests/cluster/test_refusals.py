"""What can't be run is refused by the command, with Slurm's own word where it has one, before anything is queued."""

import json
import subprocess

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def refused(launcher, slurm):
    """The message with which a launch is refused; nothing was queued and no folder was made."""

    def refuse(name, *options, **cluster):
        done = launcher.call(name, launcher.settings(steps=3), *options, **cluster)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert slurm.run("squeue", "--noheader") == ""
        assert not (launcher.place / name / "launch" / "0001").exists()
        return done.stderr

    return refuse


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ({"partition": "polar"}, "found polar, expected one of graceful, high, low"),
        ({"nodes": 4}, "found 4 nodes asked for, expected at most 2"),
        ({"gpus_per_node": 4, "ranks_per_node": 4, "launcher": "srun"}, "found 4 GPUs of a node asked for"),
        ({"time_limit": "02:00:00"}, "found 7200 seconds of time limit asked for, expected at most 3600"),
        ({"options": ["--constraint=moon"]}, "a refusal of sbatch"),
        ({"options": ["--polish"]}, "a refusal of sbatch"),
    ],
    ids=["partition", "nodes", "GPUs", "time", "feature", "option"],
)
def test_what_the_partition_does_not_have_is_refused(cluster, said, refused):
    assert said in refused("no such thing", **cluster)


def test_a_run_folder_of_a_live_job_is_refused_and_the_job_named_until_it_is_gone(launcher, slurm):
    settings = launcher.settings(steps=3)
    job, run = launcher.launch("in use", settings, options=["--hold"])
    again = launcher.call("in use", settings)
    assert again.returncode == 2
    assert f"found a run folder of job {job}, which is pending" in again.stderr
    slurm.cancel_all()
    second, _ = launcher.launch("in use", settings, options=["--hold"])
    assert json.loads((run / "launch" / "0002" / "submission.json").read_text())["job"] == second != job


def test_a_script_that_a_person_submits_by_hand_does_not_start_beside_the_job_of_the_folder(launcher, slurm):
    job, run = launcher.launch("twice", launcher.settings(steps=3), options=["--hold"])
    other = slurm.run("sbatch", "--parsable", "--no-requeue", "--hold", str(run / "launch" / "0001" / "job.sh"))
    slurm.run("scontrol", "release", other)
    launcher.wait_for_end(other, run, "FAILED")
    assert f"found a run folder of job {job}" in launcher.log(run)


def test_what_is_printed_tells_job_folder_start_and_cost(launcher):
    done = launcher.call("told", launcher.settings(steps=30, checkpoint={"every": 10}), options=["--hold"])
    assert done.returncode == 0, done.stderr
    for line in ("job: ", f"run: {launcher.place / 'told'}", "start: 20", "flops: ", "checkpoint_every: 10"):
        assert line in done.stdout
    assert subprocess.run(["bash", "-n", str(launcher.place / "told" / "launch" / "0001" / "job.sh")]).returncode == 0
