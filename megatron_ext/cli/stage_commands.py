"""The `stage` command: one stage of an experiment, as its job on a cluster runs it."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from megatron_ext.cli.output import say


def stage(
    experiment: Annotated[Path, typer.Argument(help="Experiment file.")],
    folder: Annotated[Path, typer.Argument(help="Experiment folder.")],
    name: Annotated[str, typer.Argument(help="Stage, such as pairs.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes that share out the work.")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="Ranks to start on this machine, where it takes ranks.")] = 1,
    run_file: Annotated[
        Path | None, typer.Option(help="Of a training: write its run file instead, and train nothing.")
    ] = None,
) -> None:
    """Run one stage of an experiment, whose stages before it are finished: here, or as a task of a Slurm array.

    \b
    Example: megatron-ext stage configs/experiments/demo.yaml runs/demo pairs --workers 8
    """
    from data_tools.workers import team
    from megatron_ext.cli.demo_runs import RUNS, Demo, write_run_file
    from megatron_ext.cli.demo_stages import STAGES, stages_of
    from megatron_ext.config import load_experiment

    config = load_experiment(experiment)
    stages = stages_of(config)
    _require_stage(name, stages if run_file is None else RUNS)
    if run_file is not None:
        say(f"Run file: {write_run_file(Demo(config, folder), name, run_file)}")
        return
    do, described = STAGES[name][0], stages[name]
    say(f"{name}: {described.title}")
    if described.takes in ("node", "run"):
        config = replace(config, processes=processes)
    with team(workers if described.parted else 1) as crew:
        say(do(Demo(config, folder, crew)))


def _require_stage(name: str, known: Collection[str]) -> None:
    from data_tools.errors import InputError

    if name not in known:
        raise InputError(where="stage", found=repr(name), expected="one of " + ", ".join(known), fix="Name one.")
