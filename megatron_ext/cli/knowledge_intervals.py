"""The `knowledge intervals` command: how far apart a run shows each source document, before it is trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megatron_ext.cli.output import Progress, print_result, print_table, say

if TYPE_CHECKING:
    from megatron_ext.knowledge.threshold import Threshold

MOST = 20_000
NAMED = 5
"""Of the documents that are shown most rarely."""


def intervals(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run file, such as those in configs/runs/.")],
    output: Annotated[Path | None, typer.Argument(help="Folder for intervals.json and intervals.html.")] = None,
    threshold: Annotated[
        float | None, typer.Option(min=1, metavar="STEPS", help="Steps apart above which nothing is learnt.")
    ] = None,
    threshold_from: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take the least one of a knowledge.json instead.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="Only those of this group, such as paraphrased.")] = None,
    probe: Annotated[str | None, typer.Option(help="Only those of these probes, such as semantic.")] = None,
    seeds: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="A corpus that others were made of and the run does not read; repeatable."),
    ] = None,
    documents: Annotated[
        int, typer.Option(min=1, help="Source documents to look at: all where there are no more, else drawn uniformly.")
    ] = MOST,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for a program.")] = False,
) -> None:
    """How often, and how far apart, a run will show each source document: itself, and all that was made of it.

    With a threshold (`knowledge report` measures one), also which it will not learn. Trains nothing, needs no torch.

    \b
    Example: megatron-ext knowledge intervals configs/runs/my_run.yaml
    Example: megatron-ext knowledge intervals my_run.yaml work/out --threshold-from runs/facts/knowledge/knowledge.json
    """
    from megatron_ext.config import load_run
    from megatron_ext.knowledge import intervals as planner
    from megatron_ext.knowledge.intervals_page import write_intervals

    config = load_run(run)
    limit = _threshold(threshold, threshold_from, group, probe, config.batch.tokens_per_step)
    with Progress("looking up", unit="epochs of sources") as progress:
        found = planner.intervals(config, seeds=seeds or [], most=documents, threshold=limit, progress=progress.update)
    page = write_intervals(output, run.stem, found) if output else None
    if as_json:
        print_result(found, as_json=True)
        return
    _print(found)
    if page:
        say(f"Page: {page}")


def _threshold(
    steps: float | None, report: Path | None, group: str | None, probe: str | None, tokens_per_step: int
) -> "Threshold | None":
    from data_tools.errors import InputError
    from megatron_ext.knowledge.threshold import Threshold, read_threshold

    if (steps is not None and report) or ((group or probe) and not report):
        raise InputError(
            where="--threshold, --threshold-from, --group, --probe",
            found="two thresholds" if report else "a choice among thresholds, and no file of them",
            expected="--threshold alone, or --threshold-from with what to choose in it",
            fix="Leave one of them out." if report else "Name the file with --threshold-from.",
        )  # fmt: skip
    if report:
        return read_threshold(report, group=group, probe=probe, tokens_per_step=tokens_per_step)
    return None if steps is None else Threshold(steps, "as given")


def _print(found: dict[str, Any]) -> None:
    from rich.table import Table

    from megatron_ext.knowledge.intervals_page import answer, notes, share, short, tokens

    for title, things, rows in (("told by", "documents", found["kinds"]), ("group", "passages", found["facts"])):
        if not rows:
            continue
        judged = ("not learnt",) if found["threshold"] else ()
        table = Table(title, things, "never", "once", "showings", "interval, steps", "p10", "p90", "in tokens", *judged)
        for column in table.columns[1:]:
            column.justify = "right"
        for kind, of in rows.items():
            apart, in_tokens = of["interval"] or {}, of["interval_tokens"] or {}
            cells = [of["documents"], of["never"], of["once"], of["showings"] and of["showings"]["mean"]]
            cells += [apart.get("median"), apart.get("p10"), apart.get("p90")]
            last = [share(of["verdict"]["not_learnt"])] if of["verdict"] else []
            table.add_row(kind.replace("_", " "), *map(short, cells), tokens(in_tokens.get("median")), *last)
        print_table(table)
    for sentence in (*answer(found), *notes(found)):
        say(sentence)
    if found["threshold"]:
        say("Shown most rarely: " + ", ".join(row["name"] for row in found["worst"][:NAMED]))
