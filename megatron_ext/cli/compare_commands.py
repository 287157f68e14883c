"""The `compare` command: arms of one experiment, from what they cost to what they are worth."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megatron_ext.cli.output import print_result, print_table, say, shown

if TYPE_CHECKING:
    from megatron_ext.compare.runs import Comparison


def compare(
    file: Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="File such as configs/experiments/megadocs_*.")],
    folder: Annotated[Path, typer.Argument(help="Folder of its views, runs and results.")],
    plan: Annotated[bool, typer.Option("--plan", help="Print what each run costs; make nothing.")] = False,
    array: Annotated[bool, typer.Option("--array", help="Write missing runs as a Slurm array; train nothing.")] = False,
    task: Annotated[int | None, typer.Option(min=0, help="Run this task of the array only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for a program.")] = False,
) -> None:
    """Compare ways to train on one real corpus with and without synthetic documents.

    Makes views, trains and evaluates what is missing, fits the laws, and writes comparison.json and comparison.html
    into the folder. Called again, it goes on. --plan needs no corpora.

    \b
    Example: megatron-ext compare configs/experiments/megadocs_200m.yaml runs/megadocs --plan
    Example: megatron-ext compare configs/experiments/megadocs_small.yaml runs/megadocs
    """
    from megatron_ext.compare.runs import Comparison
    from megatron_ext.config import load_comparison

    comparison = Comparison(load_comparison(file), str(file), folder)
    if plan:
        _print_plan(comparison, as_json=as_json)
    elif task is not None:
        _run_task(comparison, task)
    elif array:
        _propose(comparison, file)
    else:
        _carry_out(comparison, as_json=as_json)


def _carry_out(comparison: "Comparison", *, as_json: bool) -> None:
    from data_tools.errors import EXIT_FAILED
    from data_tools.files import locked
    from megatron_ext.cli.local import run_command
    from megatron_ext.compare.collect import collect
    from megatron_ext.compare.page import write_comparison
    from megatron_ext.compare.preparation import prepare
    from megatron_ext.compare.work import carry_out

    with locked(comparison.folder):
        prepare(comparison)
        failed = carry_out(comparison, run_command)
        found = collect(comparison)
        page = write_comparison(comparison.folder, found)
    print_result(found if as_json else _summary(found) | {"page": str(page)}, as_json=as_json)
    if failed:
        typer.echo(f"Failed: {', '.join(failed)}. The lines above say why; the rest is finished.", err=True)
        raise typer.Exit(EXIT_FAILED)


def _propose(comparison: "Comparison", file: Path) -> None:
    from megatron_ext.compare.preparation import prepare
    from megatron_ext.compare.work import missing
    from megatron_ext.sweep.tasks import write_array

    prepare(comparison)
    names = [run.name for run in missing(comparison)]
    words = ("compare", str(file.absolute()), str(comparison.folder.absolute()), "--task")
    if not names:
        say("No run is missing: the same command without --array measures ensembles and writes the page.")
        return
    script = write_array(comparison.folder, names, [sys.executable, "-m", "megatron_ext", *words])
    say(f"Submit: sbatch {script}; once its {len(names)} runs are finished, the same command without --array.")


def _run_task(comparison: "Comparison", task: int) -> None:
    from megatron_ext.cli.local import run_command
    from megatron_ext.compare.work import run_task
    from megatron_ext.sweep.tasks import task_of

    run_task(comparison, task_of(comparison.folder, task), run_command)


def _summary(found: dict[str, Any]) -> dict[str, Any]:
    return {name: arm["loss"] for name, arm in found["arms"].items()}


def _print_plan(comparison: "Comparison", *, as_json: bool) -> None:
    from megatron_ext.compare.cost import costs

    planned = costs(comparison)
    if as_json:
        print_result(planned, as_json=True)
        return
    from rich.table import Table

    columns = ("runs", "steps", "real_tokens", "epochs", "synthetic_tokens", "synthetic_epochs", "flops")
    table = Table("arm", *(column.replace("_", " ") for column in columns))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, arm in planned["arms"].items():
        table.add_row(name, *(_cell(column, arm[column]) for column in columns))
    table.add_section()
    table.add_row("all runs", *(_cell(column, planned["total"].get(column, "")) for column in columns))
    print_table(table)
    print_result({key: planned[key] for key in ("parameters", "steps_per_epoch", "tokens_per_step")}, as_json=False)


def _cell(column: str, value: Any) -> str:
    return f"{value:.3e}" if column == "flops" else shown(value)
