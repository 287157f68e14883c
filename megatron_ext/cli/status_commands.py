"""The `status` command: how runs are doing, on one screen. It reads their folders and asks Slurm, and nothing else."""

import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megatron_ext.cli.options import AsJson
from megatron_ext.cli.output import say, shown

if TYPE_CHECKING:
    from launch.status import RunStatus

COLUMNS = (
    "run", "state", "step", "tokens", "loss", "tokens/s", "MFU", "data wait", "ETA", "checkpoint", "restarts",
)  # fmt: skip


def status(
    folder: Annotated[Path, typer.Argument(help="Run folder, or a folder of runs.")],
    watch: Annotated[float | None, typer.Option(min=0.5, metavar="SECONDS", help="Show it anew so often.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how far a run has come, how fast it is, when it was saved, and what went wrong.

    Needs the run folder only: neither W&B, nor torch, nor the job itself is asked.

    \b
    Example: megatron-ext status runs/my_run
    Example: megatron-ext status runs/demo --watch 10
    """
    import json
    from dataclasses import asdict

    from launch.status import runs_below, status_of

    def found() -> "list[RunStatus]":
        return [status_of(run) for run in runs_below(folder)]

    if as_json:
        say(json.dumps([asdict(run) for run in found()], indent=1))
    elif watch is None:
        _console().print(_screen(found(), folder))
    else:
        from rich.live import Live

        with Live(_screen(found(), folder), console=_console(), auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(watch)
                live.update(_screen(found(), folder), refresh=True)


def _console() -> Any:
    import sys

    from rich.console import Console

    from megatron_ext.cli.output import WIDTH_IN_A_FILE

    return Console(width=None if sys.stdout.isatty() else WIDTH_IN_A_FILE)


def _screen(runs: "list[RunStatus]", folder: Path) -> Any:
    from rich.console import Group
    from rich.table import Table

    table = Table(*COLUMNS, title=time.strftime("%Y-%m-%d %H:%M:%S"), title_justify="left")
    for run in runs:
        table.add_row(*_row(run, folder))
    return Group(table, *(line for run in runs for line in _remarks(run, folder)))


def _row(run: "RunStatus", folder: Path) -> list[str]:
    share = f" ({run.tokens / run.budget_tokens:.1%})" if run.budget_tokens else ""
    saved = "-" if run.checkpoint_step is None else f"{run.checkpoint_step:,}, {_ago(run.checkpoint_age_seconds)} ago"
    return [
        _name(run, folder), run.state, f"{run.step:,} of {shown(run.steps)}", f"{run.tokens:,}{share}",
        shown(run.loss), shown(run.tokens_per_second), "-" if run.mfu is None else f"{run.mfu:.1%}",
        "-" if run.data_wait is None else f"{run.data_wait:.1%}",
        "-" if run.state == "finished" else _ago(run.eta_seconds), saved, str(len(run.restarts)),
    ]  # fmt: skip


def _remarks(run: "RunStatus", folder: Path) -> list[str]:
    name = _name(run, folder)
    lines = []
    if run.restarts:
        last = run.restarts[-1]
        at = time.strftime("%m-%d %H:%M:%S", time.localtime(last["time"]))
        lost = f", {last['lost_steps']:,} steps trained again" if last["lost_steps"] else ""
        lines.append(f"{name}: last restart {at} from step {last['step']:,}{lost}; before it the run {last['why']}")
    if run.skipped_steps or run.spikes:
        lines.append(f"{name}: {run.skipped_steps:,} steps left out, {run.spikes:,} spikes of the loss")
    return lines + [f"{name}: {problem}" for problem in run.problems]


def _name(run: "RunStatus", folder: Path) -> str:
    path = Path(run.run)
    return str(path.relative_to(folder)) if path != folder else path.name


def _ago(seconds: float | None) -> str:
    return "-" if seconds is None else str(timedelta(seconds=round(seconds)))
