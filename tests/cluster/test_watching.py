"""What `status` shows of jobs is what a real Slurm answers."""

import json
import subprocess
import sys

import pytest

from tests.support import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def status(slurm):
    """What `status --json` says of a folder."""

    def of(folder):
        command = [sys.executable, "-m", "megatron_ext", "status", str(folder), "--json"]
        done = subprocess.run(command, cwd=ROOT, env=slurm.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return of


def test_a_job_is_told_from_its_wait_to_its_end(launcher, slurm, status):
    job, run = launcher.launch("watched", launcher.settings(steps=3), options=["--hold"], nodes=1)
    waiting = status(run)
    assert waiting["queue_problem"] is None
    assert waiting["runs"][0]["state"] == "not started"
    [told] = waiting["jobs"]
    assert (told["id"], told["state"], told["reason"], told["nodes"]) == (job, "PENDING", "JobHeldUser", "1")
    slurm.cancel_all()
    [gone] = status(run)["jobs"]
    assert gone["state"] in ("CANCELLED", "not in the queue")


def test_jobs_that_wait_for_others_and_members_of_an_array_are_told(slurm, tmp_path, status):
    hold = ["sbatch", "--parsable", "--output=/dev/null", "--wrap=true"]
    first = slurm.run(*hold, "--hold", "--array=0-3")
    second = slurm.run(*hold, f"--dependency=afterok:{first}")
    (tmp_path / "launch").mkdir()
    graph = {"stages": {"synthesis": {"job": first}, "report": {"job": second}}}
    (tmp_path / "launch" / "graph.json").write_text(json.dumps(graph))
    try:
        array, report = status(tmp_path)["jobs"]
    finally:
        slurm.cancel_all()
    assert (array["name"], array["id"], array["reason"]) == ("synthesis", f"{first}_[0-3]", "JobHeldUser")
    assert (report["name"], report["id"], report["reason"]) == ("report", second, "Dependency")
    assert report["after"].startswith(f"afterok:{first}")
