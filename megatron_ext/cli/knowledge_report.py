"""The `knowledge report` command: from the record of a run's probes to measures, findings and a page."""

from pathlib import Path
from typing import Annotated, Any

import typer

from megatron_ext.cli.output import print_result, say

WINDOW, OUTLIERS = 50, 1.5


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs with a `knowledge:` section.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the report; of one run: its `knowledge` folder.")
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="What a run is called; once for each, in order.")] = None,
    window: Annotated[int, typer.Option(min=1, help="Steps in which a showing takes effect.")] = WINDOW,
    outliers: Annotated[
        float, typer.Option(min=0, help="Interquartile ranges outside of which values are left out; inf: none is.")
    ] = OUTLIERS,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for a program.")] = False,
) -> None:
    """Say what facts a run learnt and kept: effectivity, retainability, decay, learnability threshold.

    Writes knowledge.json, knowledge.html and knowledge.md, and holds the paper's findings against the runs. Several
    runs stand side by side. A run may still be going on: what is not known yet is counted.

    \b
    Example: megatron-ext knowledge report runs/facts
    Example: megatron-ext knowledge report runs/small runs/large --name "batch 128" --name "batch 2048" -o runs/batches
    """
    from megatron_ext.knowledge.measures import Settings
    from megatron_ext.knowledge.report import build_report, default_output, named

    folder = output or default_output(runs)
    found = build_report(named(runs, name or []), folder, Settings(window=window, outliers=outliers))
    _print(found, folder, as_json=as_json)


def _print(found: dict[str, Any], folder: Path, *, as_json: bool) -> None:
    from megatron_ext.knowledge.report import PAGE
    from megatron_ext.knowledge.report_table import tables

    if as_json:
        print_result(found, as_json=True)
        return
    say(tables(found))
    say(f"page: {folder / PAGE}")
