"""The `status` command: how runs are doing, on one screen. It reads their folders and asks Slurm, and nothing else."""

import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megatron_ext.cli.options import AsJson
from megatron_ext.cli.output import say, shown

if TYPE_CHECKING:
    from launch.queue import JobStatus
    from launch.status import RunStatus

COLUMNS = (
    "run", "state", "step", "tokens", "loss", "tokens/s", "MFU", "data wait", "ETA", "checkpoint", "restarts",
)  # fmt: skip
JOB_COLUMNS = ("job of", "job", "state", "waits for", "start", "nodes", "starts", "last end")
MOST_MEMBERS = 3
"""Of an array that are shown one by one, if they are in one state."""


def status(
    folder: Annotated[Path, typer.Argument(help="Run folder, or a folder of runs.")],
    watch: Annotated[float | None, typer.Option(min=0.5, metavar="SECONDS", help="Show it anew so often.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how far a run has come, how fast it is, when it was saved, what went wrong, and where its job stands.

    Needs the run folder only: neither W&B, nor torch, nor the job itself is asked. Slurm is asked once for all jobs;
    where it can't be, the rest is shown.

    \b
    Example: megatron-ext status runs/my_run
    Example: megatron-ext status runs/demo --watch 10
    """
    import json
    from dataclasses import asdict

    if as_json:
        say(json.dumps(asdict(_found(folder)), indent=1))
    elif watch is None:
        _console().print(_screen(_found(folder)))
    else:
        from rich.live import Live

        with Live(_screen(_found(folder)), console=_console(), auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(watch)
                live.update(_screen(_found(folder)), refresh=True)


@dataclass(frozen=True)
class Seen:
    """What a look has found."""

    folder: str
    runs: "list[RunStatus]"
    jobs: "list[JobStatus]"
    queue_problem: str | None
    """Why Slurm could not be asked; None if it answered, or there are no jobs."""


def _found(folder: Path) -> Seen:
    from launch.queue import jobs_of, stages_of
    from launch.status import runs_below, status_of

    stages = stages_of(folder)
    runs = runs_below(folder, none=bool(stages))
    jobs, problem = jobs_of(runs, stages)
    return Seen(str(folder), [status_of(run) for run in runs], jobs, problem)


def _console() -> Any:
    import sys

    from rich.console import Console

    from megatron_ext.cli.output import WIDTH_IN_A_FILE

    return Console(width=None if sys.stdout.isatty() else WIDTH_IN_A_FILE, highlight=False)


def _screen(seen: Seen) -> Any:
    """Tables of the runs and of their jobs, and what is to be said of them."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from launch.queue import NOT_QUEUED

    folder = Path(seen.folder)
    table = Table(*COLUMNS, title=time.strftime("%Y-%m-%d %H:%M:%S"), title_justify="left")
    for run in seen.runs:
        table.add_row(*_row(run, folder))
    jobs = Table(*JOB_COLUMNS)
    lines = [line for run in seen.runs for line in _remarks(run, folder)]
    runs, finished = {run.run for run in seen.runs}, {run.run for run in seen.runs if run.state == "finished"}
    made = [job.name for job in seen.jobs if job.done and job.state in (NOT_QUEUED, None)]
    lines += [f"Done: {', '.join(made)}"] if made else []
    for (name, state), alike in _alike(seen.jobs).items():
        if name in finished or name in made:
            continue
        if state == NOT_QUEUED:
            lines.append(_gone(alike[0], folder))
        if state != NOT_QUEUED or name in runs:
            for job in alike if len(alike) <= MOST_MEMBERS else alike[:1]:
                jobs.add_row(*_job_row(job, folder))
            if len(alike) > MOST_MEMBERS:
                jobs.add_row("", f"+ {len(alike) - 1:,}", state)
    if seen.queue_problem:
        lines.append(f"The queue could not be asked: {seen.queue_problem}")
    # Text: what others have said may hold brackets, which would be taken for marks.
    return Group(*([table] if seen.runs else []), *([jobs] if jobs.rows else []), *map(Text, lines))


def _gone(job: "JobStatus", folder: Path) -> str:
    """Of a job that has left the queue, and whose work isn't done."""
    log = f"its log: {job.log}" if job.log else "it has printed nothing"
    return f"{_relative(job.name, folder)}: job {job.id} has left the queue; {log}"


def _alike(jobs: "list[JobStatus]") -> "dict[tuple[str, str | None], list[JobStatus]]":
    """(run or stage, state) -> jobs: an array may have thousands of members, and the screen has one page."""
    found: dict[tuple[str, str | None], list[JobStatus]] = {}
    for job in jobs:
        found.setdefault((job.name, job.state), []).append(job)
    return found


def _job_row(job: "JobStatus", folder: Path) -> list[str]:
    waits = ", ".join(said for said in (job.reason, job.after) if said)
    return [
        _relative(job.name, folder), job.id, shown(job.state), shown(waits or None), shown(job.start),
        shown(job.nodes), str(job.starts), shown(job.last_end),
    ]  # fmt: skip


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
    lines += [f"{name}: node {node} is left out: {fault}" for node, fault in run.bad_nodes.items()]
    if run.gave_up:
        lines.append(f"{name}: {run.gave_up} See crash_loop.txt in its folder.")
    if run.skipped_steps or run.spikes:
        lines.append(f"{name}: {run.skipped_steps:,} steps left out, {run.spikes:,} spikes of the loss")
    return lines + [f"{name}: {problem}" for problem in run.problems]


def _name(run: "RunStatus", folder: Path) -> str:
    return _relative(run.run, folder)


def _relative(name: str, folder: Path) -> str:
    path = Path(name)
    return path.name if path == folder else str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _ago(seconds: float | None) -> str:
    return "-" if seconds is None else str(timedelta(seconds=round(seconds)))
