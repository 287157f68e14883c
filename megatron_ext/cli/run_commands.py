"""The commands about runs: plan, train, report, demo; `eval` is in eval_commands.py. Parse, call, print.

`train` is given to a user as one command and runs as several processes: called outside of ranks it checks what can be
checked without torch, then starts itself again once for each rank.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megatron_ext.cli.eval_commands import evaluate
from megatron_ext.cli.output import Progress, print_result, print_table, say, shown

if TYPE_CHECKING:
    from megatron_ext.config import RunConfig
    from megatron_ext.data.sources import Source
    from megatron_ext.plan.samples import SamplePlan

DEMO = Path(__file__).parents[2] / "configs" / "experiments" / "demo.yaml"

RunFile = Annotated[Path, typer.Argument(metavar="RUN", help="Run file, such as those in configs/runs/.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result for a program.")]
Processes = Annotated[int, typer.Option(min=1, help="Ranks to start on this machine.")]


def add_to(app: typer.Typer) -> None:
    """Put the commands at the top level of the command line."""
    for name, function in {
        "demo": demo, "plan": plan, "train": train, "eval": evaluate, "report": report,
    }.items():  # fmt: skip
        app.command(name)(function)


def demo(
    experiment: Annotated[Path, typer.Option(help="Experiment file.")] = DEMO,
    output: Annotated[Path, typer.Option(help="Experiment folder to write or to go on with.")] = Path("runs/demo"),
    quick: Annotated[bool, typer.Option("--quick", help="An eighth of the tokens: all stages, little learnt.")] = False,
    force: Annotated[list[str] | None, typer.Option(metavar="STAGE", help="Do a stage again; may be repeated.")] = None,
) -> None:
    """Run the whole pipeline on the embedded corpus: from documents to a report on three arms.

    \b
    Example: megatron-ext demo --output runs/demo
    Example: megatron-ext demo --quick --output runs/quick --force pairs
    """
    from megatron_ext.cli.demo import run_demo

    say(f"Report: {run_demo(experiment, output, quick=quick, force=force or [])}")


def plan(
    run: RunFile,
    steps: Annotated[str, typer.Option(metavar="A:B", help="List the samples of these steps instead.")] = "",
    text: Annotated[bool, typer.Option("--text", help="With --steps, also the text of each row as trained.")] = False,
    ranks: Annotated[int, typer.Option(min=1, help="GPUs in all, for the memory of each.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Print what a run costs, source by source, or why it can't be run. Trains nothing.

    \b
    Example: megatron-ext plan configs/runs/my_run.yaml --ranks 64
    Example: megatron-ext plan configs/runs/my_run.yaml --steps 41200:41210
    Example: megatron-ext plan configs/runs/my_run.yaml --steps 0:1 --text
    """
    from megatron_ext.config import load_run

    config = load_run(run)
    if steps:
        from megatron_ext.cli.listing import list_samples

        list_samples(config, steps, text=text, as_json=as_json)
        return
    budget = _checked_budget(config, ranks)
    if as_json:
        print_result(budget, as_json=True)
    else:
        _print_budget(budget)


def train(
    run: RunFile,
    output: Annotated[Path, typer.Option(help="Run folder to write or to go on with.")],
    processes: Processes = 1,
    as_json: AsJson = False,
) -> None:
    """Train a run to its end, or go on from its newest checkpoint. SIGTERM saves and stops.

    \b
    Example: megatron-ext train configs/runs/my_run.yaml --output runs/my_run --processes 2
    """
    from data_tools.processes import die_with_parent
    from megatron_ext.cli.local import inside_ranks, run_ranks
    from megatron_ext.config import load_run, require_ranks

    config = load_run(run)
    if not inside_ranks():
        from contextlib import suppress

        from data_tools.files import locked
        from launch.slurm import NoAnswerError, require_free
        from megatron_ext.evaluation.inputs import require_tasks
        from megatron_ext.knowledge.asked import require_askable
        from megatron_ext.training.preflight import check

        require_ranks(config.layout, processes, where=f"{run}, key 'layout'")
        _say_what_is_cut(config, *check(config, output, ranks=processes))
        require_askable(config, output)
        with suppress(NoAnswerError):  # where Slurm is silent, the lock of the folder is all there is
            require_free(output, besides=os.environ.get("SLURM_JOB_ID"))
        require_tasks(config)
        arguments = ["train", str(run), "--output", str(output)] + ["--json"] * as_json
        with locked(output):
            raise typer.Exit(run_ranks(arguments, processes=processes))

    from megatron_ext.training.lifecycle import StopRequest

    die_with_parent()
    with StopRequest() as request:  # before torch is imported, which takes seconds
        from megatron_ext import platform

        platform.prepare()
        from megatron_ext.evaluation import answers
        from megatron_ext.knowledge import probes
        from megatron_ext.training.run import train as train_run

        with Progress("training", unit="steps") as progress:
            observers = [*probes.observe(config), *answers.observe(config)]
            finished = train_run(config, output, request=request, progress=progress.update, observe=observers)
    if _is_first_rank():
        _print_end(output, finished=finished, as_json=as_json)


def report(
    experiment: Annotated[Path, typer.Argument(help="Experiment folder, such as runs/demo.")],
    seed: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="The same experiment with another seed, to join in; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write report.html, report.md and report.json from the files in an experiment's folder, and print the answer.

    Nothing has to be finished: what is missing is said.

    \b
    Example: megatron-ext report runs/demo
    Example: megatron-ext report runs/seed1 --seed runs/seed2 --seed runs/seed3
    """
    from megatron_ext.report import build_report
    from megatron_ext.report.answer import answer

    result = build_report(experiment, seed or [])
    if as_json:
        print_result(result, as_json=True)
        return
    if result["missing"]:
        say("Not finished. Missing: " + ", ".join(result["missing"]))
    for sentence in (*result["broken"], *result["flags"], *answer(result)):
        say(sentence)
    say(f"Report: {experiment / 'report.html'}")


def _checked_budget(config: "RunConfig", ranks: int) -> dict[str, Any]:
    from megatron_ext.data.injection import Passages
    from megatron_ext.data.sources import corpus_folders
    from megatron_ext.plan.budget import arm_budget
    from megatron_ext.plan.cost import memory_per_gpu
    from megatron_ext.training.preflight import check_data

    plan, sources = check_data(config)
    passages = Passages.of(config, plan, corpus_folders(sources))
    extents = {name: source.extent for name, source in sources.items()}
    documents = {name: sum(map(len, source.corpora)) for name, source in sources.items()}
    injected = passages and passages.counts(plan)
    budget = arm_budget(config, extents, source_documents=documents, injected=injected)
    return budget | {"ranks": ranks, "memory_per_gpu": dict(memory_per_gpu(config, ranks))}


def _say_what_is_cut(config: "RunConfig", plan: "SamplePlan", sources: "dict[str, Source]") -> None:
    from megatron_ext.data.injection import Passages
    from megatron_ext.data.sources import corpus_folders

    passages = Passages.of(config, plan, corpus_folders(sources))
    counts = passages.counts(plan) if passages else {}
    if counts.get("cut"):
        typer.echo(
            f"{counts['cut']} of {counts['texts']} passages and paraphrases are longer than a row of "
            f"{config.batch.sequence_length} tokens: {counts['cut_share']:.0%} of their tokens are cut off.", err=True,
        )  # fmt: skip


def _print_budget(budget: dict[str, Any]) -> None:
    from rich.table import Table

    columns = ["kind", "documents", "corpus_tokens", "trained", "unique", "repeated", "epochs", "max_epochs"]
    columns += ["displaced"] * ("knowledge" in budget)
    phases = range(max(len(source["phases"]) for source in budget["sources"].values()))
    by_phase = [f"phase {number}" for number in phases] if len(phases) > 1 else []
    table = Table("source", *(column.replace("_", " ") for column in columns), *by_phase)
    for column in table.columns[2:]:
        column.justify = "right"
    for name, source in budget["sources"].items():
        trained = source["phases"] if by_phase else []
        table.add_row(name, *(shown(source.get(column)) for column in columns), *map(shown, trained))
    print_table(table)
    print_result({name: value for name, value in budget.items() if name != "sources"}, as_json=False)


def _print_end(folder: Path, *, finished: bool, as_json: bool) -> None:
    from data_tools.corpus.manifest import read_manifest

    if finished:
        print_result(read_manifest(folder), as_json=as_json)
    else:
        typer.echo("Stopped after saving. The same command goes on from there.", err=True)


def _is_first_rank() -> bool:
    return os.environ.get("RANK", "0") == "0"
