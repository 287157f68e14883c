"""The `launch` command: a run as a job of a cluster's. Parse, check, submit, print."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megatron_ext.cli.output import print_result, say

if TYPE_CHECKING:
    from launch.attempts import Pace
    from launch.job import Job
    from megatron_ext.config import RunConfig

ASSUMED_MFU = 0.4
"""Share of a GPU's peak that a run is taken to reach until its own speed has been measured."""


def launch(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run file, such as those in configs/runs/.")],
    folder: Annotated[Path, typer.Argument(help="Run folder, on a disk that all nodes see; new, or to go on with.")],
    cluster: Annotated[Path, typer.Option(help="Cluster file, such as those in configs/clusters/.")],
    nodes: Annotated[int | None, typer.Option(min=1, help="Nodes of the job; else as the cluster's file says.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the script; write and queue nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for a program.")] = False,
) -> None:
    """Train a run as a job of Slurm's: before its time is up it saves, is queued again, and goes on until it is done.

    What can be refused is refused before anything is queued. In the run folder, `touch SAVE` asks for a checkpoint and
    `touch STOP` for a checkpoint and the end.

    \b
    Example: megatron-ext launch run.yaml /lustre/runs/a --cluster configs/clusters/h100_infiniband.yaml --nodes 8
    Example: megatron-ext launch run.yaml /lustre/runs/a --cluster my_cluster.yaml --dry-run
    """
    from launch import submission
    from launch.job import render
    from megatron_ext.config import load_cluster, load_run
    from megatron_ext.training.preflight import check

    config = load_run(run)
    job = submission.plan_job(folder, load_cluster(cluster), nodes=nodes)
    _, sources = check(config, job.run, ranks=job.ranks, here=False)
    submission.check_folders(job, config)
    result = {"run": str(job.run), "nodes": job.nodes, "ranks": job.ranks, "notice_seconds": job.notice}
    result |= _expected(config, job, {name: source.extent for name, source in sources.items()})
    if dry_run:
        script = render(job)
        print_result(result | {"script": script}, as_json=True) if as_json else _show(script, result)
        return
    submission.check(job, config)
    submitted = submission.submit(job, config)
    queued = {
        "job": submitted.id, "script": str(job.submission / "job.sh"), "log": str(submitted.log),
        "start": submitted.expected_start,
    }  # fmt: skip
    print_result(queued | result, as_json=as_json)


def _show(script: str, result: dict[str, Any]) -> None:
    say(script)
    print_result(result, as_json=False)


def _expected(config: "RunConfig", job: "Job", extents: dict[str, Any]) -> dict[str, Any]:
    """Cost of the run, its length, and when its first checkpoint can be expected."""
    from launch.attempts import pace
    from megatron_ext.plan.budget import arm_budget

    budget = arm_budget(config, extents)
    speed = _tokens_per_second(config, job, pace(job.run), budget["flops"])
    result = {name: budget[name] for name in ("steps", "tokens", "flops", "checkpoint_bytes")}
    result["checkpoint_every"] = config.checkpoint.every
    if speed is None:
        return result | {"hours": None, "node_hours": None, "first_checkpoint_hours": None}
    hours = config.tokens / speed / 3600
    first = min(config.batch.first_sample(config.checkpoint.every) * config.batch.sequence_length, config.tokens)
    return result | {
        "hours": round(hours, 3), "node_hours": round(hours * job.nodes, 3),
        "first_checkpoint_hours": round(first / speed / 3600, 3),
    }  # fmt: skip


def _tokens_per_second(config: "RunConfig", job: "Job", measured: "Pace", flops: int) -> float | None:
    """As measured, for as many ranks; else from the GPU's peak; None where that isn't known."""
    from megatron_ext.training.peaks import peak_flops

    if measured.tokens_per_second and measured.ranks:
        return measured.tokens_per_second * job.ranks / measured.ranks
    peak = peak_flops(job.cluster.gpu, config.precision)
    return None if peak is None else config.tokens / (flops / (job.ranks * peak * ASSUMED_MFU))
