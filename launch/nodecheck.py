"""The first seconds of a job: is every node fit to train, and which one isn't?

    srun --ntasks-per-node=1 ... python -m launch.nodecheck measure --run RUN --submission RUN/launch/0001 |
        python -m launch.nodecheck judge --run RUN --submission RUN/launch/0001 --nodes n1,n2

`measure` runs on every node and prints what it found as JSON lines: GPUs, a write to the run folder, then clock and
bandwidth to two neighbours (gloo, NCCL where there are GPUs). It reports through srun, not through the disk that it
tests. `judge` runs on the first node. It ends with 0 if all nodes are fit, with 75 if the job is to be queued again
without those that are not (`RUN/launch/exclude`), with 1 if that would not help. `RUN/launch/nodes.jsonl` keeps all.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from data_tools.errors import EXIT_FAILED, InputError
from data_tools.files import write_whole
from launch.attempt import EXIT_AGAIN
from launch.attempts import CRASH_LOOP, NODES, folder_of, node_checks
from launch.nodelinks import MEGABYTE, among_others
from megatron_ext.config import load_cluster
from megatron_ext.config.cluster import ClusterConfig, NodeCheckConfig

EXCLUDE = "exclude"


def measure(run: Path, cluster: ClusterConfig) -> None:
    """Print what this node finds out about itself, and, if it is fit, about its way to others."""
    check, node = cluster.node_check, os.environ["SLURMD_NODENAME"]
    rank, nodes = int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"])
    found = alone(run, node, cluster)
    _print(found)
    if found["fault"] is None and nodes > 1:
        _print({"node": node, **among_others(rank, nodes, node, check, gpus=cluster.gpus_per_node > 0)})


def alone(run: Path, node: str, cluster: ClusterConfig) -> dict[str, Any]:
    """{"node", "gpus", "write_seconds", "fault"}: what a node can tell without others; a fault is a sentence."""
    check, found = cluster.node_check, dict[str, Any](node=node, gpus=None, write_seconds=None, fault=None)
    try:
        found["write_seconds"] = round(_write(folder_of(run) / f".nodecheck-{node}", check.write_megabytes), 3)
    except OSError as error:
        return found | {"fault": f"can't write to {run}: {error.strerror}"}
    if found["write_seconds"] > check.write_seconds:
        return found | {"fault": f"took {found['write_seconds']:.0f} s to write {check.write_megabytes} MB to {run}"}
    if cluster.gpus_per_node:
        found["gpus"], fault = _working_gpus()
        if found["gpus"] < cluster.ranks_of_a_node:
            fault = fault or f"{found['gpus']} GPUs seen where {cluster.ranks_of_a_node} are needed"
        found["fault"] = fault
    return found


def judge(
    lines: Iterable[str], run: Path, cluster: ClusterConfig, nodes: Sequence[str], job: str, *, restart: int
) -> int:
    """Keep what the nodes said, name those that are not fit; the answer to the script.

    Args:
        lines: what `measure` printed on all nodes; anything else is passed on.
        run: run folder.
        cluster: the cluster's file.
        nodes: of the job.
        job: its id.
        restart: how often it was started before.
    """
    found = _by_node(lines, nodes)
    faults = faults_of(found, cluster.node_check)
    before = _excluded(run, job)
    with (folder_of(run) / NODES).open("a") as file:
        for node in nodes:
            line = {"time": round(time.time(), 3), "job": job, "restart": restart, "node": node} | found[node]
            file.write(json.dumps(line | {"fault": faults.get(node)}) + "\n")
    if not faults:
        return 0
    named = "\n".join(f"Node {node}: {fault}." for node, fault in sorted(faults.items()))
    excluded = before | set(faults)
    why_not = _why_not(faults, before, excluded, nodes, cluster.node_check)
    if why_not is None:
        write_whole(folder_of(run) / EXCLUDE, ",".join(sorted(excluded | set(cluster.exclude))) + "\n")
        _say(f"{named}\nJob {job} is queued again without {', '.join(sorted(excluded))}.")
        return EXIT_AGAIN
    write_whole(run / CRASH_LOOP, f"{named}\nJob {job} is not queued again: {why_not}.\n")
    _say(f"{named}\nJob {job} is not queued again: {why_not}.")
    return EXIT_FAILED


def faults_of(found: Mapping[str, Mapping[str, Any]], check: NodeCheckConfig) -> dict[str, str]:
    """Node -> what is wrong with it. Nodes are held against each other only if each is fit by itself.

    Args:
        found: node -> what it said; empty where it said nothing.
        check: what a node may not fall below.
    """
    faults = {
        node: told.get("fault") or f"said nothing within {check.seconds} s"
        for node, told in found.items()
        if not told or told.get("fault")
    }
    if faults or len(found) == 1:
        return faults
    if silent := [node for node, told in found.items() if "links" not in told]:
        return dict.fromkeys(silent, "could not talk to its neighbours")
    return _off_clocks(found, check) | _slow(found, check)


def _off_clocks(found: Mapping[str, Mapping[str, Any]], check: NodeCheckConfig) -> dict[str, str]:
    """Clocks are told relative to the first node's; the median takes its place, for it may be the one that is off."""
    middle = median(told["clock"] for told in found.values())
    return {
        node: f"its clock is {told['clock'] - middle:+.3f} s off"
        for node, told in found.items()
        if abs(told["clock"] - middle) > check.clock_seconds
    }


def _slow(found: Mapping[str, Mapping[str, Any]], check: NodeCheckConfig) -> dict[str, str]:
    best = {node: max(told["links"].values()) for node, told in found.items()}
    middle = median(speed for told in found.values() for speed in told["links"].values())
    least = max(check.least_share * middle, check.least_gigabytes_per_second or 0.0)
    return {
        node: f"{speed:.2f} GB/s to its neighbours, where {least:.2f} are the least (median {middle:.2f})"
        for node, speed in best.items()
        if speed < least
    }


def _why_not(
    faults: Mapping[str, str], before: set[str], excluded: set[str], nodes: Sequence[str], check: NodeCheckConfig
) -> str | None:
    """Why leaving out the nodes would not help; None if it may."""
    if 1 < len(nodes) == len(faults):
        return "all of its nodes are the same, so the reason lies elsewhere"
    if again := before & set(faults):
        return f"Slurm has no other nodes than {', '.join(sorted(again))}, which were to be left out"
    if len(excluded) > check.most_excluded:
        return f"{len(excluded)} nodes would be left out, more than most_excluded ({check.most_excluded})"
    return None


def _excluded(run: Path, job: str) -> set[str]:
    """Nodes that this job was to be queued without before."""
    return {line["node"] for line in node_checks(run) if line["job"] == job and line["fault"]}


def _by_node(lines: Iterable[str], nodes: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {node: {} for node in nodes}
    for line in lines:
        try:
            told = json.loads(line)
            found[told.pop("node")].update(told)
        except (ValueError, KeyError, TypeError, AttributeError):
            _say(line.rstrip("\n"))
    return found


def _write(path: Path, megabytes: int) -> float:
    """Seconds in which so much is written, is on the disk, and is read again.

    Raises:
        OSError: it can't be written, or comes back otherwise.
    """
    content, started = os.urandom(MEGABYTE), time.monotonic()
    try:
        with path.open("wb") as file:
            for _ in range(megabytes):
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with path.open("rb") as file:
            if any(file.read(MEGABYTE) != content for _ in range(megabytes)):
                raise OSError(0, "what was written comes back otherwise")
        return time.monotonic() - started
    finally:
        path.unlink(missing_ok=True)


def _working_gpus() -> tuple[int, str | None]:
    """(GPUs that compute, what is wrong with the first that doesn't)."""
    import torch

    count = torch.cuda.device_count()
    for number in range(count):
        try:
            ones = torch.ones(512, 512, device=f"cuda:{number}")
            if (ones @ ones).sum().item() != 512.0**3:
                return number, f"GPU {number} computes wrongly"
        except RuntimeError as error:
            return number, f"GPU {number}: {str(error).splitlines()[0]}"
    return count, None


def _print(found: Mapping[str, Any]) -> None:
    print(json.dumps(found), flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer the script."""
    parser = argparse.ArgumentParser(prog="launch.nodecheck", description=__doc__)
    parser.add_argument("part", choices=("measure", "judge"))
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--submission", type=Path, required=True)
    parser.add_argument("--nodes", default="", help="Of the job, parted by commas.")
    given = parser.parse_args(arguments)
    try:
        cluster = load_cluster(given.submission / "cluster.yaml")
        if given.part == "measure":
            measure(given.run, cluster)
            return 0
        job, restart = os.environ["SLURM_JOB_ID"], int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        return judge(sys.stdin, given.run, cluster, given.nodes.split(","), job, restart=restart)
    except InputError as error:
        _say(str(error))
        return error.status


if __name__ == "__main__":
    sys.exit(main())
