"""The command `eval`: what models are worth, on held-out text, on tasks, on lm-eval's benchmarks. Parse, call, print.

It is given to a user as one command and runs as several processes: called outside of ranks it checks what can be
checked without torch, then starts itself again once for each rank. Benchmarks are no work of ranks: they are asked by
lm-eval of an exported model, once the rest is done.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megatron_ext.cli.output import Progress, print_result

if TYPE_CHECKING:
    from megatron_ext.evaluation.inputs import Wanted


def evaluate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs or of imported models.")],
    heldout: Annotated[Path | None, typer.Option(help="Corpus folder, for perplexity.")] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Tokens between windows, which then overlap; without, they don't.")
    ] = None,
    by_document: Annotated[
        bool, typer.Option("--by-document", help="Each document on its own: nothing of another stands before it.")
    ] = False,
    tasks: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Task file; may be repeated. See docs/evaluation.md.")
    ] = None,
    benchmarks: Annotated[
        str, typer.Option(metavar="A,B", help="Instead, tasks of lm-eval, asked of the exported model.")
    ] = "",
    offline_data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Data of the benchmarks, in place of Hugging Face's hub.")
    ] = None,
    shots: Annotated[int | None, typer.Option(min=0, help="Of benchmarks; without, as many as is usual.")] = None,
    items: Annotated[int | None, typer.Option(min=1, help="Of each task or benchmark, its first so many.")] = None,
    by_position: Annotated[
        bool, typer.Option("--by-position", help="Instead, the loss by position on documents that fill a row.")
    ] = False,
    ensemble: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead, the loss of the runs together, written to this file.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Ranks to start on this machine.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for a program.")] = False,
) -> None:
    """What the newest checkpoint of each run is worth; also written to results.json in its folder.

    \b
    Example: megatron-ext eval runs/demo/arms/baseline runs/demo/arms/sbp --heldout runs/demo/corpus_heldout
    Example: megatron-ext eval runs/mine --heldout corpora/heldout --stride 512 --tasks tasks/sciq.jsonl
    Example: megatron-ext eval runs/mine --benchmarks arc_easy,sciq,triviaqa --offline-data benchmark_data
    Example: megatron-ext eval runs/seed1 runs/seed2 runs/seed3 --heldout corpora/heldout --ensemble runs/ensemble.json
    """
    from megatron_ext.cli.local import inside_ranks
    from megatron_ext.evaluation.inputs import Wanted

    wanted = Wanted(heldout=heldout, stride=stride, by_document=by_document, tasks=tuple(tasks or ()), most_items=items)
    names = [name.strip() for name in benchmarks.split(",") if name.strip()]
    if inside_ranks():
        with Progress("evaluation", unit="passes") as progress:
            results = _results(runs, wanted, by_position=by_position, ensemble=ensemble, progress=progress)
        if os.environ.get("RANK", "0") == "0":
            print_result(results, as_json=as_json)
        return
    _require_one_kind(wanted, {"--by-position": by_position, "--ensemble": ensemble, "--benchmarks": names})
    if names:
        print_result(_benchmarks(runs, names, offline_data, shots=shots, items=items), as_json=as_json)
    else:
        _start(runs, wanted, by_position=by_position, ensemble=ensemble, processes=processes, as_json=as_json)


def _require_one_kind(wanted: "Wanted", instead: dict[str, Any]) -> None:
    """Refuse options that ask for nothing, or for two different things."""
    from data_tools.errors import InputError

    plain = bool(wanted.tasks or wanted.stride or wanted.by_document)
    alone = [name for name, given in instead.items() if given]
    if len(alone) + plain > 1 or (wanted.heldout and "--benchmarks" in alone):
        raise InputError(
            where=" and ".join(alone), found="other things asked for beside it", expected="that by itself",
            fix="Evaluate twice: results.json keeps both.",
        )  # fmt: skip
    if wanted.heldout is None and (alone or plain) and not (wanted.tasks or "--benchmarks" in alone):
        raise InputError(
            where="--heldout", found="none", expected="the corpus that the other options are about",
            fix="Name its folder.",
        )  # fmt: skip
    if not (wanted.heldout or wanted.tasks or alone):
        raise InputError(
            where="eval", found="nothing to evaluate on", expected="--heldout, --tasks or --benchmarks",
            fix="Name a corpus folder with --heldout, say.",
        )  # fmt: skip


def _start(
    runs: list[Path], wanted: "Wanted", *, by_position: bool, ensemble: Path | None, processes: int, as_json: bool
) -> None:
    """Check everything, then the same command once for each rank; ends the program if that fails."""
    from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
    from megatron_ext.cli.local import run_ranks
    from megatron_ext.config import require_ranks
    from megatron_ext.evaluation.inputs import configs_of, read_tasks, require_askable, require_stride

    configs = configs_of(runs)
    if wanted.heldout:
        IndexedCorpus(wanted.heldout / CORPUS_PREFIX)
        for config in configs:
            require_stride(wanted.stride, config)
    if wanted.tasks:
        found = read_tasks(wanted.tasks, most_items=wanted.most_items)
        for run, config in zip(runs, configs, strict=True):
            require_askable(config, found, where=str(run))
    require_ranks(configs[0].layout, processes, where=f"{runs[0]}, key 'layout'")
    arguments = ["eval", *map(str, runs)] + ["--json"] * as_json
    for name, value in {
        "--heldout": wanted.heldout, "--stride": wanted.stride, "--items": wanted.most_items, "--ensemble": ensemble,
    }.items():  # fmt: skip
        arguments += [] if value is None else [name, str(value)]
    for task in wanted.tasks:
        arguments += ["--tasks", str(task)]
    arguments += ["--by-document"] * wanted.by_document + ["--by-position"] * by_position
    if status := run_ranks(arguments, processes=processes):
        raise typer.Exit(status)


def _results(
    runs: list[Path], wanted: "Wanted", *, by_position: bool, ensemble: Path | None, progress: Progress
) -> dict[str, Any]:
    from megatron_ext import platform

    platform.prepare()
    from megatron_ext.evaluation import trained

    if wanted.heldout and by_position:
        from megatron_ext.evaluation.positions import evaluate_positions

        return evaluate_positions(runs, wanted.heldout)
    if wanted.heldout and ensemble:
        return _ensemble(runs, wanted.heldout, ensemble, progress)
    return trained.evaluate(runs, wanted, progress=progress.update)


def _ensemble(runs: list[Path], heldout: Path, file: Path, progress: Progress) -> dict[str, Any]:
    from data_tools.files import write_whole
    from megatron_ext.evaluation.ensemble import evaluate_ensemble
    from megatron_ext.report.laws import described, fit_or_reason

    losses = evaluate_ensemble(runs, heldout, progress=progress.update)
    result = {"members": [str(run) for run in runs], "losses": losses} | described(
        fit_or_reason(range(1, len(losses) + 1), losses, what="members")
    )
    if os.environ.get("RANK", "0") == "0":
        write_whole(file, json.dumps(result, indent=1) + "\n")
    return result


def _benchmarks(
    runs: list[Path], names: list[str], offline_data: Path | None, *, shots: int | None, items: int | None
) -> dict[str, Any]:
    from megatron_ext.cli.synthesizer import engine_model
    from megatron_ext.evaluation.benchmarks import ask, require_benchmarks
    from megatron_ext.evaluation.inputs import configs_of, tokenizer_of

    require_benchmarks(names, offline_data)
    results = {}
    for run, config in zip(runs, configs_of(runs), strict=True):
        model = engine_model(str(run), tokenizer_of(config, where=str(run)).path.parent)
        results[str(run)] = ask(run, Path(model), names, offline_data=offline_data, shots=shots, most_items=items)
    return results
