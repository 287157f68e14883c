"""What a launch costs, before it is queued: FLOPs, hours and node-hours of a run, and of an experiment's stages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from data_tools.corpus.manifest import is_finished, read_manifest

if TYPE_CHECKING:
    from launch.attempts import Pace
    from launch.experiment import Plan
    from launch.job import Job
    from launch.stage import StageJob
    from megatron_ext.cli.demo_runs import Demo
    from megatron_ext.config import ClusterConfig, ExperimentConfig, RunConfig

ASSUMED_MFU = 0.4
"""Share of a GPU's peak that a run is taken to reach until its own speed has been measured."""


def run_cost(config: "RunConfig", job: "Job") -> dict[str, Any]:
    """Of a run, in all its starts: its length, and when its first checkpoint can be expected. Needs no corpora."""
    from launch.attempts import pace
    from launch.preflight import starts_of
    from megatron_ext.plan.cost import checkpoint_bytes, training_flops

    flops = training_flops(config.model, config.tokens, config.batch.sequence_length)
    result = {
        "steps": config.steps, "tokens": config.tokens, "flops": flops, "checkpoint_bytes": checkpoint_bytes(config),
        "checkpoint_every": config.checkpoint.every,
    }  # fmt: skip
    speed = _tokens_per_second(config, job, pace(job.run), flops)
    if speed is None:
        return result | dict.fromkeys(("hours", "node_hours", "first_checkpoint_hours", "starts"))
    hours = config.tokens / speed / 3600
    first = min(config.batch.first_sample(config.checkpoint.every) * config.batch.sequence_length, config.tokens)
    return result | {
        "hours": round(hours, 3), "node_hours": round(hours * job.nodes, 3),
        "first_checkpoint_hours": round(first / speed / 3600, 3),
        "starts": starts_of(hours, limit_seconds=job.cluster.seconds, notice=job.notice),
    }  # fmt: skip


def stage_costs(
    plan: "Plan", config: "ExperimentConfig", runs: Mapping[str, "RunConfig"], cluster: "ClusterConfig"
) -> dict[str, dict[str, Any]]:
    """Stage -> its job in words, tokens, FLOPs, hours, node-hours; None where that can't be known yet."""
    from launch.job import Job

    costs: dict[str, dict[str, Any]] = {}
    for name in plan.stages:
        job = plan.jobs.get(name)
        state = f"job {plan.live[name]}" if name in plan.live else "done" if job is None else "to be queued"
        told = dict[str, Any](state=state, size=None, tokens=None, flops=None, hours=None, node_hours=None)
        if isinstance(job, Job):
            cost = run_cost(runs[name], job)
            told |= {"size": f"{_many(job.nodes, 'node')}, {_many(job.ranks, 'rank')}"} | cost
        elif job is not None:
            told["size"] = _size(job, cluster)
            if name == "synthesis":
                told |= _synthesis_cost(job, config, cluster)
        costs[name] = told
    return costs


def arms(demo: "Demo", runs: Mapping[str, "RunConfig"]) -> dict[str, Any]:
    """What the arms train on, matched in tokens; and the FLOPs that SBP takes besides, which are not in that match.

    Raises:
        InputError: two arms differ in their total of tokens.
    """
    from megatron_ext.cli.demo_costs import synthesis_flops, tuning_flops
    from megatron_ext.cli.demo_runs import ARMS
    from megatron_ext.plan.budget import match
    from megatron_ext.plan.cost import training_flops

    chosen = {name: runs[name] for name in ARMS}
    told = {}
    for name, run in chosen.items():
        sources = {source: settings.tokens for source, settings in run.sources.items()}
        told[name] = {
            "tokens": run.tokens, **sources, "real_epochs": _epochs(run),
            "flops": training_flops(run.model, run.tokens, run.batch.sequence_length),
        }  # fmt: skip
    beside = {"tuning_flops": tuning_flops(demo.config), "synthesis_flops": synthesis_flops(demo.config)}
    return {"matched_tokens": match(chosen), "arms": told, "sbp_besides": beside}


def _epochs(run: "RunConfig") -> float | None:
    """Of the real corpus, once there is one."""
    source = run.sources["real"]
    if not is_finished(source.corpus) or source.tokens is None:
        return None
    return round(source.tokens / read_manifest(source.corpus).counts["tokens"], 2)


def _synthesis_cost(job: "StageJob", config: "ExperimentConfig", cluster: "ClusterConfig") -> dict[str, Any]:
    from megatron_ext.cli.demo_costs import synthesis_flops, synthesis_tokens

    tokens, size = synthesis_tokens(config), config.jobs.get("synthesis")
    told = {"tokens": tokens, "flops": synthesis_flops(config)}
    if size is None or size.tokens_per_second is None:
        return told
    hours = tokens / (job.tasks * size.tokens_per_second) / 3600
    share = min(1.0, job.gpus / cluster.gpus_per_node) if cluster.gpus_per_node else 1.0
    return told | {"hours": round(hours, 3), "node_hours": round(hours * job.tasks * share, 3)}


def _size(job: "StageJob", cluster: "ClusterConfig") -> str:
    of_each = {
        "cpus": _many(job.cpus or 1, "CPU"), "gpu": _many(job.gpus, "GPU"),
        "node": f"1 node, {_many(cluster.ranks_of_a_node, 'rank')}",
    }[job.stage.takes]  # fmt: skip
    if job.stage.takes == "gpu" and not cluster.gpus_per_node:
        of_each = _many(job.cpus or 1, "CPU")
    return f"array of {job.tasks}, each {of_each}" if job.tasks > 1 else of_each


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _tokens_per_second(config: "RunConfig", job: "Job", measured: "Pace", flops: int) -> float | None:
    """As measured, for as many ranks; else from the GPU's peak; None where that isn't known."""
    from megatron_ext.training.peaks import peak_flops

    if measured.tokens_per_second and measured.ranks:
        return measured.tokens_per_second * job.ranks / measured.ranks
    peak = peak_flops(job.cluster.gpu, config.precision)
    return None if peak is None else config.tokens / (flops / (job.ranks * peak * ASSUMED_MFU))
