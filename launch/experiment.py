"""An experiment becomes a graph of jobs: each waits until those before it have ended well.

    FOLDER/launch/graph.json     stage -> job, what it waits for, where its log is
                  0001/          clean.sh and the other scripts, experiment.yaml, cluster.yaml, code/
    FOLDER/arms/baseline/launch/0001/   a training's own, as of any run: it is queued again until it is done

A stage that is finished is left out, and one whose job is still queued or running keeps it, so a second launch goes on
with what is missing. A job that fails takes along those that wait for it: they could never start.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from data_tools.errors import InputError
from data_tools.files import locked, remove_artifact, whole_or_nothing
from launch import attempts, slurm, submission
from launch.graph import Stage, Stages, read_graph, unfinished, write_graph
from launch.job import Job
from launch.snapshot import keep_code
from launch.stage import EXPERIMENT_FILE, StageJob, render, stage_command
from megatron_ext.config import ExperimentConfig, RunConfig, as_dict
from megatron_ext.config.cluster import ClusterConfig

CLUSTER_FILE = "cluster.yaml"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a launch would do."""

    stages: Stages
    folder: Path
    submission: Path
    jobs: Mapping[str, Job | StageJob]
    """To be queued, in an order in which each comes after what it waits for."""
    live: Mapping[str, str]
    """Stages that have a job already -> its id."""


def plan_experiment(
    config: ExperimentConfig, folder: Path, cluster: ClusterConfig, stages: Stages, *, nodes: int | None, settings: str,
    dry_run: bool = False,
) -> Plan:  # fmt: skip
    """The jobs of what is missing.

    Args:
        config: the experiment.
        folder: its folder, new or to go on with.
        cluster: where it is to run.
        stages: all of them.
        nodes: of trainings for which the experiment names none.
        settings: hash of all that changes the outcome. With others than last time every stage is queued: each finds
            in its manifest whether there is anything to do.
        dry_run: nothing will be queued: where Slurm can't be asked, no job is taken to be live.

    Raises:
        InputError: the experiment sizes a stage that isn't there or can't be parted so, stages of other settings
            still have jobs, or jobs wait for one that has failed.
    """
    folder = folder.absolute()
    _require_known(config, stages)
    graph = read_graph(folder)
    live = _live(graph, dry_run=dry_run)
    changed = graph["settings"] not in (None, settings)
    if changed and live:
        name, job = next(iter(live.items()))
        raise InputError(
            where=str(folder), found=f"another version of this experiment, with stage {name} in job {job}",
            expected="the settings that it was launched with",
            fix=f"Wait for its jobs, or end them: `scancel {' '.join(live.values())}`.",
        )  # fmt: skip
    kept = attempts.next_submission(folder)
    jobs = {
        name: _job(config, name, stages[name], folder, kept, cluster, nodes)
        for name in (stages if changed else unfinished(stages, folder))
        if name not in live
    }
    if not dry_run:
        _require_none_orphaned(stages, jobs, live)
    return Plan(stages=stages, folder=folder, submission=kept, jobs=jobs, live=live)


def check(plan: Plan, runs: Mapping[str, RunConfig]) -> None:
    """Refuse what Slurm can't give, and folders that are in use.

    Raises:
        InputError: as for a single run.
    """
    for name, job in plan.jobs.items():
        if isinstance(job, Job):
            submission.check(job, runs[name])
    small = [job for job in plan.jobs.values() if isinstance(job, StageJob)]
    partitions = slurm.partitions() if small else {}
    for job in small:
        wanted = job.partition
        if wanted not in partitions:
            raise InputError(
                where=f"partition of stage {job.name}", found=wanted,
                expected=f"one of {', '.join(sorted(partitions))}",
                fix="Correct the cluster's file; `sinfo` lists partitions.",
            )  # fmt: skip


def submit(
    plan: Plan, config: ExperimentConfig, runs: Mapping[str, RunConfig], cluster: ClusterConfig, *, settings: str
) -> dict[str, str]:
    """Queue the jobs; returns stage -> job, those that were live among them.

    All scripts are shown to Slurm before the first is queued. What was queued is written down at once, so a launch
    that is interrupted leaves nothing that the next one doesn't know.

    Raises:
        InputError: Slurm refuses a script, or another launch is at work.
    """
    with ExitStack() as held:
        for folder in (plan.folder, *(job.run for job in plan.jobs.values() if isinstance(job, Job))):
            held.enter_context(locked(folder))
        _keep(plan, config, cluster)
        starts = _prepared(plan, runs)
        graph = {**read_graph(plan.folder), "settings": settings}
        ids = dict(plan.live)
        for name, job in plan.jobs.items():
            needs = plan.stages[name].needs
            options = [f"--job-name={config.name}-{name}", *_after([ids[need] for need in needs if need in ids])]
            try:
                queued = isinstance(job, Job) and submission.queue(job, starts[name], options)
                ids[name] = queued.id if queued else slurm.submit(job.script, options)
            except InputError as error:
                raise _of_a_part(error, name, graph["stages"], plan) from None
            log = job.log.replace("%j", ids[name]).replace("%A", ids[name])
            graph["stages"][name] = {
                "job": ids[name], "needs": list(needs), "outputs": list(plan.stages[name].made_by(name)), "log": log,
                "tasks": getattr(job, "tasks", 1), "nodes": job.nodes,
                "run": str(job.run) if isinstance(job, Job) else None,
            }  # fmt: skip
            write_graph(plan.folder, graph)
    return ids


def _job(
    config: ExperimentConfig, name: str, stage: Stage, folder: Path, kept: Path, cluster: ClusterConfig,
    nodes: int | None,
) -> Job | StageJob:  # fmt: skip
    size = config.jobs.get(name)
    if stage.takes != "run":
        return StageJob(
            name=name, stage=stage, folder=folder, submission=kept, cluster=cluster, tasks=size.tasks if size else 1,
            gpus=config.synthesis.tensor_parallel if name == "synthesis" else 1,
        )  # fmt: skip
    run = folder / stage.made_by(name)[0]
    job = submission.plan_job(run, cluster, nodes=(size and size.nodes) or nodes)
    command = (*stage_command(kept, folder, name), "--run-file", str(job.submission / "run.yaml"))
    return replace(job, prepare=command)


def _require_known(config: ExperimentConfig, stages: Stages) -> None:
    for name, size in config.jobs.items():
        if name not in stages:
            raise InputError(
                where="jobs", found=repr(name), expected="one of " + ", ".join(stages), fix="Name a stage.",
            )  # fmt: skip
        stage = stages[name]
        if (size.tasks > 1 and not stage.parted) or (size.nodes is not None and stage.takes != "run"):
            may = "tasks" if stage.parted else "nodes" if stage.takes == "run" else "neither tasks nor nodes"
            raise InputError(
                where=f"jobs.{name}", found=f"tasks {size.tasks}, nodes {size.nodes}", expected=may,
                fix="Trainings take nodes; stages whose work can be parted take tasks; the others run as they are.",
            )  # fmt: skip


def _live(graph: Mapping[str, Any], *, dry_run: bool) -> dict[str, str]:
    """Stages whose last job is still in the queue."""
    ids = {name: stage["job"] for name, stage in graph["stages"].items()}
    try:
        states = slurm.states(list(ids.values()))
    except slurm.NoAnswerError:
        if not dry_run:
            raise
        states = {}
    return {name: job for name, job in ids.items() if job in states}


def _require_none_orphaned(stages: Stages, missing: Collection[str], live: Mapping[str, str]) -> None:
    """A job that waits for one that has failed never starts, and Slurm takes a moment to cancel it."""
    for name, job in live.items():
        failed = next((need for need in stages[name].needs if need in missing), None)
        if failed is not None:
            raise InputError(
                where=f"stage {name}", found=f"job {job}, which waits for a job of stage {failed} that has failed",
                expected="no such job: Slurm cancels it, and what waits for it, in a moment",
                fix=f"Launch again in a minute, or end them: `scancel {' '.join(live.values())}`.",
            )  # fmt: skip


def _keep(plan: Plan, config: ExperimentConfig, cluster: ClusterConfig) -> None:
    with whole_or_nothing(plan.submission) as scratch:
        (scratch / EXPERIMENT_FILE).write_text(yaml.safe_dump(as_dict(config), sort_keys=False))
        (scratch / CLUSTER_FILE).write_text(yaml.safe_dump(as_dict(cluster), sort_keys=False))
        for job in plan.jobs.values():
            if isinstance(job, StageJob):
                (scratch / job.script.name).write_text(render(job))
        keep_code(scratch / "code")


def _prepared(plan: Plan, runs: Mapping[str, RunConfig]) -> dict[str, str]:
    """When Slurm would start each job, which waits for others; all are removed where one is refused."""
    starts: dict[str, str] = {}
    try:
        for name, job in plan.jobs.items():
            if isinstance(job, Job):
                starts[name] = submission.prepare(job, runs[name])
            else:
                starts[name] = slurm.expected_start(job.script)
    except InputError:
        for name in starts:
            if isinstance(job := plan.jobs[name], Job):
                remove_artifact(job.submission)
        remove_artifact(plan.submission)
        raise
    return starts


def _of_a_part(error: InputError, name: str, queued: Mapping[str, Any], plan: Plan) -> InputError:
    """Of a stage that Slurm refused after it had taken others."""
    before = [stage for stage in plan.jobs if stage in queued and stage != name]
    return InputError(
        where=f"stage {name}", found=str(error).splitlines()[0], expected="a job",
        fix=f"{len(before)} stages are queued. Launch again: it goes on with those that are missing.",
    )  # fmt: skip


def _after(jobs: Sequence[str]) -> list[str]:
    return [f"--dependency=afterok:{':'.join(jobs)}", "--kill-on-invalid-dep=yes"] if jobs else []
