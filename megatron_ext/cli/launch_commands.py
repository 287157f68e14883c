"""The `launch` command: a run, or all stages of an experiment, as jobs of a cluster's. Parse, check, submit, print."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megatron_ext.cli.output import print_result, say, shown

if TYPE_CHECKING:
    from launch.experiment import Plan
    from launch.job import Job
    from megatron_ext.config import ClusterConfig, RunConfig

OF_EXPERIMENTS = "pairing"
"""A key that every experiment file has, and no run file."""

FLOPS = 10**13
"""Integers from here on are read by their size only."""


def launch(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Run file or experiment file.")],
    folder: Annotated[Path, typer.Argument(help="Its folder, on a disk that all nodes see; new, or to go on with.")],
    cluster: Annotated[Path, typer.Option(help="Cluster file, such as those in configs/clusters/.")],
    nodes: Annotated[int | None, typer.Option(min=1, help="Nodes of a training; else as the files say.")] = None,
    quality: Annotated[
        list[Path] | None, typer.Option(help="Output of `quality` that has to say go; may be repeated.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Also read and hash every corpus: hours for 1T.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it; write and queue nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for a program.")] = False,
) -> None:
    """Run it as jobs of Slurm's: before its time is up a job saves, is queued again, and goes on until it is done.

    Of an experiment each stage is a job that waits for those before it; launched again, what is missing is queued.
    What can be refused is refused before anything is queued. In a run folder, `touch SAVE` asks for a checkpoint and
    `touch STOP` for a checkpoint and the end.

    \b
    Example: megatron-ext launch run.yaml /lustre/runs/a --cluster configs/clusters/h100_infiniband.yaml --nodes 8
    Example: megatron-ext launch run.yaml /lustre/runs/a --cluster my_cluster.yaml --dry-run
    Example: megatron-ext launch configs/experiments/sbp_1t.yaml /lustre/sbp --cluster my_cluster.yaml --dry-run
    """
    from launch.preflight import quality_allows
    from megatron_ext.config import load_cluster
    from megatron_ext.config.yaml_file import read_yaml

    described = load_cluster(cluster)
    verdicts = [quality_allows(path) for path in quality or ()]
    values = read_yaml(file).values
    launcher = _launch_experiment if isinstance(values, dict) and OF_EXPERIMENTS in values else _launch_run
    launcher(file, folder, described, nodes, verdicts, verify=verify, dry_run=dry_run, as_json=as_json)


def _launch_run(
    file: Path, folder: Path, cluster: "ClusterConfig", nodes: int | None, verdicts: list[str], *, verify: bool,
    dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    from launch import submission
    from launch.job import render
    from megatron_ext.cli.launch_estimates import run_cost
    from megatron_ext.config import load_run
    from megatron_ext.training.preflight import check

    config = load_run(file)
    job = submission.plan_job(folder, cluster, nodes=nodes)
    check(config, job.run, ranks=job.ranks, here=False)
    submission.check_folders(job, config)
    if verify:
        _verify(config)
    result = {"run": str(job.run), "nodes": job.nodes, "ranks": job.ranks, "notice_seconds": job.notice}
    result |= run_cost(config, job)
    result |= _preflight({file.stem: config}, {file.stem: job}, cluster, verdicts, here=not dry_run)
    if dry_run:
        script = render(job)
        if as_json:
            print_result(result | {"script": script}, as_json=True)
        else:
            say(script)
            print_result(result, as_json=False)
        return
    if submission.is_finished(job.run, config):
        print_result(result | {"job": None, "state": "finished: nothing is queued"}, as_json=as_json)
        return
    submission.check(job, config)
    submitted = submission.submit(job, config)
    queued = {
        "job": submitted.id, "script": str(job.submission / "job.sh"), "log": str(submitted.log),
        "start": submitted.expected_start,
    }  # fmt: skip
    print_result(queued | result, as_json=as_json)
    _how_to_watch(job.run, as_json=as_json)


def _launch_experiment(
    file: Path, folder: Path, cluster: "ClusterConfig", nodes: int | None, verdicts: list[str], *, verify: bool,
    dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    from launch import experiment
    from launch.job import Job
    from launch.preflight import documents_readable, require_shared
    from megatron_ext.cli.demo import describe
    from megatron_ext.cli.demo_judging import judging_paths, require_judging
    from megatron_ext.cli.demo_runs import RUNS, Demo, planned_run
    from megatron_ext.cli.demo_stages import stages_of
    from megatron_ext.cli.launch_estimates import arms, stage_costs
    from megatron_ext.config import load_experiment

    config = load_experiment(file)
    stages, settings = stages_of(config), _settings(config)
    plan = experiment.plan_experiment(
        config, folder, cluster, stages, nodes=nodes, settings=settings, dry_run=dry_run
    )  # fmt: skip
    demo = Demo(config, plan.folder, synthesized="synthesis" not in plan.jobs)
    runs = {name: planned_run(demo, name) for name in RUNS if name in stages}
    jobs = {name: job for name, job in plan.jobs.items() if isinstance(job, Job)}
    _require_trainable(plan, runs, jobs)
    if plan.jobs and not dry_run:
        require_judging(config)
        require_shared(cluster.shared, judging_paths(config))
    require_shared(cluster.shared, {"the experiment's folder": plan.folder})
    read = {}
    if "clean" in plan.jobs:
        read["documents"] = documents_readable(config.corpus, cluster.shared, here=not dry_run)
    if "embeddings" in plan.jobs:
        read["embedding_model"] = _found_model(config.pairing.embedding_model, cluster)
    if verify:
        for name in jobs:
            _verify(runs[name])
    costs = stage_costs(plan, config, runs, cluster)
    result = {"folder": str(plan.folder), "stages": costs, **arms(demo, runs)}
    told = _preflight({name: runs[name] for name in jobs}, jobs, cluster, verdicts, here=not dry_run)
    result |= {"preflight": read | told}
    if not dry_run and plan.jobs:
        experiment.check(plan, runs)
        ids = experiment.submit(plan, config, runs, cluster, settings=settings)
        describe(demo)
        for name in plan.jobs:
            costs[name]["state"] = f"job {ids[name]}"
    print_result(result, as_json=True) if as_json else _show(plan, result)
    if plan.jobs and not dry_run:
        _how_to_watch(plan.folder, as_json=as_json)


def _how_to_watch(folder: Path, *, as_json: bool) -> None:
    if not as_json:
        say(f"\nHow it is doing: megatron-ext status {shlex.quote(str(folder))}")


def _show(plan: "Plan", result: Mapping[str, Any]) -> None:
    from launch.graph import draw

    heads = ("size", "tokens", "flops", "hours", "starts", "node_hours", "state")
    columns = {
        name: [_short(cost.get(head)) for head in heads] for name, cost in result["stages"].items()
    }  # fmt: skip
    say(draw(plan.stages, columns, [head.replace("_", "-") for head in heads]))
    total = sum(cost["node_hours"] or 0 for cost in result["stages"].values())
    say(f"\nKnown node-hours: {total:,.0f}")
    say(f"\nArms, each of {result['matched_tokens']:,} tokens")
    for name, arm in result["arms"].items():
        say(f"  {name}: " + ", ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in arm.items()))
    besides = ", ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in result["sbp_besides"].items())
    say(f"  sbp takes besides, outside of this match: {besides}\n")
    if plan.jobs:
        print_result(result["preflight"], as_json=False)
    else:
        say("All of it is done, or has a job: nothing is queued.")


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, int) and value >= FLOPS else shown(value)


def _require_trainable(plan: "Plan", runs: Mapping[str, "RunConfig"], jobs: Mapping[str, "Job"]) -> None:
    """What of a run can be refused before the stages before it are done; and all of it once they are."""
    from launch.submission import check_folders
    from megatron_ext.training.fit import require_divisible
    from megatron_ext.training.preflight import check_data

    for name, job in jobs.items():
        require_divisible(runs[name], ranks=job.ranks)
        check_folders(job, runs[name])
        if not set(plan.stages[name].needs) & set(plan.jobs):
            check_data(runs[name])


def _found_model(name: str, cluster: "ClusterConfig") -> str:
    """An embedding model, and whether it is on this machine; the hub's are looked for where the jobs will look."""
    from huggingface_hub import try_to_load_from_cache

    from data_tools.steps.embedders import PACKAGED
    from launch.preflight import require_shared

    if name == PACKAGED:
        return name
    if Path(name).is_dir():
        require_shared(cluster.shared, {"pairing.embedding_model": Path(name)})
        return name
    home = cluster.environment.get("HF_HOME")
    try:
        found = try_to_load_from_cache(name, "config.json", cache_dir=Path(home, "hub") if home else None)
    except ValueError:  # no name that the hub could have
        found = None
    return name if isinstance(found, str) else f"{name}, not on this machine: `hf download {name}`"


def _preflight(
    runs: Mapping[str, "RunConfig"], jobs: Mapping[str, "Job"], cluster: "ClusterConfig", verdicts: list[str], *,
    here: bool,
) -> dict[str, Any]:  # fmt: skip
    from launch.preflight import checkpoints_fit, memory_fits, wandb_says
    from megatron_ext.plan.cost import checkpoint_bytes, memory_per_gpu

    keeps = {jobs[name].run: _kept(run) * checkpoint_bytes(run) for name, run in runs.items()}
    memory = [
        memory_fits(name, memory_per_gpu(run, jobs[name].ranks)["total"], cluster.gpu_memory)
        for name, run in runs.items()
    ]
    modes = dict.fromkeys(run.tracking.wandb for run in runs.values())
    told = {
        "checkpoints": checkpoints_fit(keeps, here=here), "memory": "; ".join(memory),
        "wandb": "; ".join(wandb_says(mode) for mode in modes),
    }  # fmt: skip
    return told | ({"quality": "; ".join(verdicts)} if verdicts else {})


def _kept(config: "RunConfig") -> int:
    """Checkpoints on the disk at the end of a run: the newest, those that stay, and one that is being written."""
    each = config.checkpoint.keep_every
    return config.checkpoint.keep + 1 + (config.steps // each if each else 0)


def _verify(config: "RunConfig") -> None:
    """Read and hash what a run reads, as far as it is there."""
    from data_tools.corpus.manifest import is_finished
    from data_tools.corpus.verify import verify

    for source in config.sources.values():
        for path in (source.corpus, source.pairs):
            if path is not None and is_finished(path):
                verify(path)


def _settings(config: Any) -> str:
    """Hash of what changes the outcome."""
    import json

    from data_tools.files import text_hash
    from megatron_ext.config import as_dict

    values = {key: value for key, value in as_dict(config).items() if key not in ("jobs", "processes", "tracking")}
    return text_hash(json.dumps(values, sort_keys=True))
