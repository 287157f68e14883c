"""The commands about runs and experiments: plan, train, eval, report, demo. Parse, call, print.

`train` and `eval` are given to a user as one command and run as several processes: called outside of ranks they check
what can be checked without torch, then start themselves again once for each rank.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megatron_ext.cli.output import Progress, print_result, print_table, say, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from data_tools.corpus.indexed import IndexedCorpus
    from megatron_ext.config import RunConfig

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
    from megatron_ext.cli.demo import RunFailed, run_demo

    try:
        page = run_demo(experiment, output, quick=quick, force=force or [])
    except RunFailed as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    say(f"Report: {page}")


def plan(
    run: RunFile,
    steps: Annotated[str, typer.Option(metavar="A:B", help="List the samples of these steps instead.")] = "",
    ranks: Annotated[int, typer.Option(min=1, help="GPUs in all, for the memory of each.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Print what a run costs, source by source, or why it can't be run. Trains nothing.

    \b
    Example: megatron-ext plan configs/runs/my_run.yaml --ranks 64
    Example: megatron-ext plan configs/runs/my_run.yaml --steps 41200:41210
    """
    from megatron_ext.config import load_run

    config = load_run(run)
    if steps:
        _list_samples(config, steps, as_json=as_json)
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
        from data_tools.files import locked
        from megatron_ext.knowledge.asked import require_askable
        from megatron_ext.training.preflight import check

        require_ranks(config.layout, processes, where=f"{run}, key 'layout'")
        check(config, output, ranks=processes)
        require_askable(config, output)
        arguments = ["train", str(run), "--output", str(output)] + ["--json"] * as_json
        with locked(output):
            raise typer.Exit(run_ranks(arguments, processes=processes))

    from megatron_ext.training.lifecycle import StopRequest

    die_with_parent()
    with StopRequest() as request:  # before torch is imported, which takes seconds
        from megatron_ext.knowledge.probes import observe
        from megatron_ext.training.run import train as train_run

        with Progress("training", unit="steps") as progress:
            finished = train_run(config, output, request=request, progress=progress.update, observe=observe(config))
    if _is_first_rank():
        _print_end(output, finished=finished, as_json=as_json)


def evaluate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    heldout: Annotated[Path, typer.Option(help="Folder of the held-out corpus.")],
    by_position: Annotated[
        bool, typer.Option("--by-position", help="Instead, the loss by position on documents that fill a row.")
    ] = False,
    ensemble: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead, the loss of the runs together, written to this file.")
    ] = None,
    processes: Processes = 1,
    as_json: AsJson = False,
) -> None:
    """Held-out loss of the newest checkpoint of each run; also written to results.json in its folder.

    \b
    Example: megatron-ext eval runs/demo/arms/baseline runs/demo/arms/sbp --heldout runs/demo/corpus_heldout
    Example: megatron-ext eval runs/seed1 runs/seed2 runs/seed3 --heldout corpora/heldout --ensemble runs/ensemble.json
    """
    from megatron_ext.cli.local import inside_ranks, run_ranks
    from megatron_ext.config import require_ranks

    if not inside_ranks():
        from megatron_ext.evaluation.inputs import check_inputs

        layout = check_inputs(runs, heldout)[0][0].layout
        require_ranks(layout, processes, where=f"{runs[0]}, key 'layout'")
        arguments = ["eval", *map(str, runs), "--heldout", str(heldout)] + ["--json"] * as_json
        arguments += ["--by-position"] * by_position + (["--ensemble", str(ensemble)] if ensemble else [])
        raise typer.Exit(run_ranks(arguments, processes=processes))

    with Progress("evaluation", unit="passes") as progress:
        results = _results(runs, heldout, by_position=by_position, ensemble=ensemble, progress=progress)
    if _is_first_rank():
        print_result(results, as_json=as_json)


def _results(
    runs: list[Path], heldout: Path, *, by_position: bool, ensemble: Path | None, progress: Progress
) -> dict[str, Any]:
    from megatron_ext.evaluation import ensemble as ensembles
    from megatron_ext.evaluation import perplexity, positions
    from megatron_ext.report.laws import described, fit_or_reason

    if by_position:
        return positions.evaluate_positions(runs, heldout)
    if ensemble is None:
        return perplexity.evaluate(runs, heldout, progress=progress.update)
    losses = ensembles.evaluate_ensemble(runs, heldout, progress=progress.update)
    result = {"members": [str(run) for run in runs], "losses": losses} | described(
        fit_or_reason(range(1, len(losses) + 1), losses, what="members")
    )
    if _is_first_rank():
        from data_tools.files import write_whole

        write_whole(ensemble, json.dumps(result, indent=1) + "\n")
    return result


def report(
    experiment: Annotated[Path, typer.Argument(help="Experiment folder, such as runs/demo.")],
    as_json: AsJson = False,
) -> None:
    """Write report.json and report.html from the files in an experiment's folder.

    \b
    Example: megatron-ext report runs/demo
    """
    from megatron_ext.report import build_report

    result = build_report(experiment)
    if as_json:
        print_result(result, as_json=True)
    else:
        say(f"Report: {experiment / 'report.html'}")


def _checked_budget(config: "RunConfig", ranks: int) -> dict[str, Any]:
    from megatron_ext.plan.budget import arm_budget
    from megatron_ext.plan.cost import memory_per_gpu
    from megatron_ext.training.preflight import check_data

    _, sources = check_data(config)
    extents = {name: source.extent for name, source in sources.items()}
    documents = {name: sum(map(len, source.corpora)) for name, source in sources.items()}
    budget = arm_budget(config, extents, source_documents=documents)
    return budget | {"ranks": ranks, "memory_per_gpu": dict(memory_per_gpu(config, ranks))}


def _list_samples(config: "RunConfig", steps: str, *, as_json: bool) -> None:
    """Print where each sample of some steps comes from, down to its documents' names."""
    from data_tools.errors import InputError
    from megatron_ext.data.sources import described, open_sources
    from megatron_ext.plan.samples import SamplePlan

    first, _, stop = steps.partition(":")
    if not (first.isdigit() and stop.isdigit()):
        raise InputError(where="--steps", found=repr(steps), expected="A:B", fix="Give two numbers, such as 10:12.")
    sources = open_sources(config)
    plan = SamplePlan.of(config, {name: source.extent for name, source in sources.items()})
    names = {name: _document_names(source.corpora) for name, source in sources.items()}
    rows = []
    for step, number, sample in plan.consumed(int(first), int(stop)):
        row = {"step": step} | described(number, sample, sources)
        rows.append(row | {"documents": [names[sample.source](document) for document in row["documents"]]})
    if as_json:
        print_result({"samples": rows}, as_json=True)
        return
    say("step\tsample\tsource\tepoch\tstart\tdocuments")
    for row in rows:
        say("\t".join(map(str, [*list(row.values())[:-1], ", ".join(map(str, row["documents"]))])))


def _document_names(corpora: "Sequence[IndexedCorpus]") -> "Callable[[int], str | int]":
    """Number of a document, counted through the corpora -> its name; the number itself where one keeps no names."""
    from bisect import bisect_right
    from itertools import accumulate

    from data_tools.corpus.indexed import file_of
    from data_tools.corpus.names import Names

    if not all(file_of(corpus.prefix, ".names.npy").exists() for corpus in corpora):
        return lambda number: number
    names, firsts = [Names(corpus.prefix) for corpus in corpora], list(accumulate(map(len, corpora), initial=0))

    def name_of(number: int) -> str:
        corpus = bisect_right(firsts, number) - 1
        return names[corpus][number - firsts[corpus]]

    return name_of


def _print_budget(budget: dict[str, Any]) -> None:
    from rich.table import Table

    columns = ("kind", "documents", "corpus_tokens", "trained", "unique", "repeated", "epochs", "max_epochs")
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
        typer.echo("Stopped by a signal after saving. The same command goes on from there.", err=True)


def _is_first_rank() -> bool:
    return os.environ.get("RANK", "0") == "0"
