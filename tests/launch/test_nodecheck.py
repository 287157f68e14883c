"""A node that isn't fit is named for what is wrong with it, and a good one never is."""

import json
import os
import subprocess
import sys

import pytest

from launch.attempt import EXIT_AGAIN
from launch.nodecheck import alone, faults_of, judge
from launch.nodelinks import neighbours
from megatron_ext.config.cluster import ClusterConfig, NodeCheckConfig
from tests.support import ROOT

CHECK = NodeCheckConfig()
FIT = {"gpus": 8, "write_seconds": 0.5, "fault": None, "clock": 0.0}
CLUSTER = ClusterConfig(partition="batch", gpus_per_node=0, ranks_per_node=1, exclude=("n0",))


def ring(speeds):
    """What fit nodes say, of the bandwidths between each and the next."""
    names = [f"n{number}" for number in range(len(speeds))]
    return {
        name: FIT | {"links": {names[place - 1]: speeds[place - 1], names[(place + 1) % len(names)]: speeds[place]}}
        for place, name in enumerate(names)
    }


@pytest.fixture
def run(tmp_path):
    (tmp_path / "launch").mkdir()
    return tmp_path


@pytest.mark.parametrize("nodes", range(2, 12))
def test_every_node_meets_its_neighbours_and_only_one_at_a_time(nodes):
    turns = [neighbours(rank, nodes) for rank in range(nodes)]
    for round_ in zip(*turns, strict=True):
        for rank, partner in enumerate(round_):
            assert partner is None or round_[partner] == rank != partner
    met = [{partner for partner in partners if partner is not None} for partners in turns]
    assert met == [{(rank - 1) % nodes, (rank + 1) % nodes} for rank in range(nodes)]


def test_fit_nodes_have_no_fault():
    assert faults_of(ring([10.0, 9.0, 11.0, 10.0]), CHECK) == {}


def test_of_two_nodes_beside_a_slow_link_none_is_named_and_a_node_with_two_is():
    assert faults_of(ring([10.0, 0.5, 10.0, 10.0, 10.0]), CHECK) == {}
    assert list(faults_of(ring([10.0, 0.5, 0.5, 10.0, 10.0]), CHECK)) == ["n2"]


def test_an_absolute_bound_counts_beside_the_share_of_the_median():
    check = NodeCheckConfig(least_gigabytes_per_second=20.0)
    assert len(faults_of(ring([10.0, 10.0, 10.0]), check)) == 3


@pytest.mark.parametrize("ahead", [-5.0, 5.0])
def test_a_clock_that_is_off_is_named_also_if_it_is_the_first_nodes(ahead):
    found = ring([10.0, 10.0, 10.0])
    found["n1"]["clock"] = ahead
    assert list(faults_of(found, CHECK)) == ["n1"]
    for name in ("n1", "n2"):
        found[name]["clock"] = -ahead
    assert list(faults_of(found, CHECK)) == ["n0"]


def test_a_silent_node_is_named_and_those_that_waited_for_it_are_not():
    found = {"n0": FIT | {"unlinked": "timeout"}, "n1": {}, "n2": FIT | {"unlinked": "timeout"}}
    assert list(faults_of(found, CHECK)) == ["n1"]


def test_a_run_folder_that_cannot_be_written_is_a_fault_of_the_node(run):
    found = alone(run, "n1", CLUSTER)
    assert found["fault"] is None
    assert list((run / "launch").iterdir()) == []
    (run / "launch").rmdir()
    assert "can't write" in alone(run, "n1", CLUSTER)["fault"]


def test_bad_nodes_are_kept_in_mind_over_the_restarts_of_a_job(run):
    bad = [json.dumps({"node": "n1", "fault": "broken"}), "a line of something else", json.dumps({"node": "n2"} | FIT)]
    assert judge(bad, run, CLUSTER, ["n1", "n2"], "7", restart=0) == EXIT_AGAIN
    assert (run / "launch" / "exclude").read_text() == "n0,n1\n"
    later = [json.dumps({"node": "n3", "fault": "hot"}), json.dumps({"node": "n2"} | FIT)]
    assert judge(later, run, CLUSTER, ["n2", "n3"], "7", restart=1) == EXIT_AGAIN
    assert (run / "launch" / "exclude").read_text() == "n0,n1,n3\n"
    kept = [json.loads(line) for line in (run / "launch" / "nodes.jsonl").read_text().splitlines()]
    assert [(line["node"], line["fault"]) for line in kept] == [
        ("n1", "broken"), ("n2", None), ("n2", None), ("n3", "hot"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "said"),
    [(["n1", "n2"], "the reason lies elsewhere"), (["n3"], "Slurm has no other nodes than n3")],
)
def test_a_job_is_given_up_where_leaving_nodes_out_would_not_help(nodes, said, run):
    if nodes == ["n3"]:
        assert judge([], run, CLUSTER, nodes, "7", restart=0) == EXIT_AGAIN
    assert judge([], run, CLUSTER, nodes, "7", restart=1) == 1
    assert said in (run / "crash_loop.txt").read_text()


@pytest.mark.slow
def test_nodes_measure_clock_and_bandwidth_with_each_other(run, tmp_path):
    (tmp_path / "cluster.yaml").write_text(
        "{partition: p, gpus_per_node: 0, ranks_per_node: 1, node_check: {link_megabytes: 4, write_megabytes: 2}}"
    )
    port = str(10_000 + os.getpid() % 10_000)
    shared = os.environ | {"SLURM_NTASKS": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "launch.nodecheck", "measure", "--run", str(run), "--submission", str(tmp_path)],
            cwd=ROOT, env=shared | {"SLURM_PROCID": str(rank), "SLURMD_NODENAME": f"n{rank}"}, text=True,
            stdout=subprocess.PIPE,
        )
        for rank in range(3)
    ]  # fmt: skip
    lines = [line for node in nodes for line in node.communicate(timeout=600)[0].splitlines()]
    names = ["n0", "n1", "n2"]
    assert judge(lines, run, CLUSTER, names, "7", restart=0) == 0
    kept = [json.loads(line) for line in (run / "launch" / "nodes.jsonl").read_text().splitlines()]
    assert [set(line["links"]) for line in kept] == [set(names) - {name} for name in names]
    assert all(abs(line["clock"]) < 0.5 for line in kept)
