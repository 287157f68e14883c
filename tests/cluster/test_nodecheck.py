"""A node that is not fit, on a real Slurm: it is named in the first seconds, and the job comes back on another one."""

import json
import sys

import pytest

from tests.cluster.conftest import JOB_SECONDS, attempts
from tests.support import losses

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

CHECK = {"enabled": True, "write_megabytes": 4, "link_megabytes": 4, "seconds": 600}


@pytest.fixture
def full_disk_on(tmp_path):
    """A Python that can't write more than a megabyte to a file on one node, as where a quota is used up."""

    def python(node: str) -> str:
        path = tmp_path / "python"
        path.write_text(
            f'#!/bin/bash\nif [ "$SLURMD_NODENAME" = {node} ]; then ulimit -f 1000; fi\nexec {sys.executable} "$@"\n'
        )
        path.chmod(0o755)
        return str(path)

    return python


def checked(run) -> list[dict]:
    return [json.loads(line) for line in (run / "launch" / "nodes.jsonl").read_text().splitlines()]


def test_a_job_on_a_node_that_cannot_write_the_run_folder_comes_back_on_another_node(launcher, slurm, full_disk_on):
    settings = launcher.settings(steps=3)
    job, run = launcher.launch("full", settings, nodes=1, python=full_disk_on("n1"), node_check=CHECK)
    launcher.wait_for_end(job, run)
    assert [(line["node"], line["restart"]) for line in checked(run)] == [("n1", 0), ("n2", 1)], launcher.log(run)
    assert "can't write" in checked(run)[0]["fault"]
    assert checked(run)[1]["fault"] is None
    assert "ExcNodeList=n1" in slurm.run("scontrol", "show", "job", job)
    assert [line["nodes"] for line in attempts(run, "start")] == ["n2"]  # nothing was started on the bad one
    assert len(losses(run)) == 3


def test_fit_nodes_train_and_what_was_measured_is_kept(launcher):
    job, run = launcher.launch("fit", launcher.settings(steps=3), node_check=CHECK)
    launcher.wait_for_end(job, run)
    assert [line["fault"] for line in checked(run)] == [None, None]
    assert [set(line["links"]) for line in checked(run)] == [{"n2"}, {"n1"}]


def test_a_job_whose_nodes_have_fewer_gpus_than_the_clusters_file_says_is_given_up_and_told_why(launcher):
    job, run = launcher.launch(
        "blind", launcher.settings(steps=3), gpus_per_node=2, ranks_per_node=2, nodes=2, node_check=CHECK
    )
    launcher.wait_for_end(job, run, "FAILED", seconds=JOB_SECONDS)
    reason = (run / "crash_loop.txt").read_text()
    assert "Node n1: 0 GPUs seen where 2 are needed" in reason
    assert "the reason lies elsewhere" in reason
