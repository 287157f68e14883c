"""Jobs of runs as Slurm's queue has them, for those who watch. One question for all jobs; it may stay unanswered.

Slurm forgets a job minutes after its end; how its starts went is kept in the run folder (`attempts.py`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from launch.attempts import CRASH_LOOP, attempts, folder_of, jobs, node_checks, submissions
from launch.graph import GRAPH, are_made, read_graph
from launch.slurm import UNKNOWN_JOB, NoAnswerError, ask

PATIENCE = 10
"""Seconds: a screen that is shown anew can't wait for long."""
FORMAT = "%F|%i|%T|%S|%D|%N|%E|%r"
NOTHING = ("", "N/A", "None", "(null)")
NOT_QUEUED = "not in the queue"


@dataclass(frozen=True, kw_only=True)
class QueuedJob:
    """A line of `squeue`: a job, a member of an array, or its members that wait."""

    id: str
    """`12`, `12_3`, `12_[4-7]`."""
    state: str
    reason: str | None
    """Why it waits."""
    start: str | None
    """When it was started; of one that waits, when Slurm expects to."""
    nodes: str
    """Their names; of one that waits, their number."""
    after: str | None
    """What it waits for, as `afterok:12(unfulfilled)`."""


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """A job of a run's, or of an experiment's graph. What isn't known is None."""

    name: str
    """Run folder, or stage of the experiment."""
    id: str
    state: str | None
    """As Slurm says; `not in the queue` if it has no such job any more; None if it couldn't be asked."""
    reason: str | None = None
    start: str | None = None
    nodes: str | None = None
    after: str | None = None
    starts: int = 0
    """Of its ranks, so far."""
    last_end: str | None = None
    """What became of its ranks when they last ended."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Starts and ends of its ranks, oldest first: lines of `launch/attempts.jsonl`."""
    log: str | None = None
    """What it has printed; of an array, a pattern of files. None: it was never started, or where it is isn't known."""
    done: bool | None = None
    """Of a stage that is no training: whether its outputs are there."""


@dataclass(frozen=True, kw_only=True)
class QueuedStage:
    """The job that was submitted last for a stage of an experiment."""

    job: str
    log: str | None
    done: bool | None


def queued(ids: Sequence[str]) -> tuple[dict[str, list[QueuedJob]], str | None]:
    """(job -> what the queue has of it, why Slurm couldn't be asked). An array has a line for each member."""
    found: dict[str, list[QueuedJob]] = {}
    if not ids:
        return found, None
    command = ["squeue", "--noheader", f"--jobs={','.join(ids)}", f"--format={FORMAT}"]
    try:
        answer = ask(command, gone=UNKNOWN_JOB, patience=PATIENCE)
    except NoAnswerError as error:
        return found, error.found
    for line in answer.splitlines():
        job, member, state, start, count, names, after, reason = line.split("|", 7)
        found.setdefault(job, []).append(QueuedJob(
            id=member, state=state, reason=_known(reason), start=_known(start), nodes=_known(names) or count,
            after=_known(after),
        ))  # fmt: skip
    return found, None


def jobs_of(runs: Iterable[Path], stages: Mapping[str, QueuedStage]) -> tuple[list[JobStatus], str | None]:
    """(the newest job of each run, and those of an experiment's stages; why Slurm couldn't be asked).

    Args:
        runs: run folders; those without jobs are passed over.
        stages: name of a stage -> its job, of an experiment that was submitted as a graph.
    """
    newest = {run: found[-1] for run in runs if (found := jobs(run))}
    others = {name: stage for name, stage in stages.items() if stage.job not in newest.values()}
    queue, problem = queued(sorted({*newest.values(), *(stage.job for stage in others.values())}))
    absent = None if problem else NOT_QUEUED
    told = [
        each for run, job in newest.items()
        for each in _told(str(run), job, queue, absent, attempts(run), log=_log_of(run, job))
    ]  # fmt: skip
    return told + [
        each for name, stage in others.items()
        for each in _told(name, stage.job, queue, absent, [], log=stage.log, done=stage.done)
    ], problem  # fmt: skip


def is_graph(folder: Path) -> bool:
    """Whether a folder is an experiment's that was submitted as a graph of jobs."""
    return (folder_of(folder) / GRAPH).is_file()


def stages_of(folder: Path) -> dict[str, QueuedStage]:
    """Stage -> its job, of an experiment that was submitted as a graph; empty for any other folder."""
    return {
        name: QueuedStage(
            job=stage["job"], log=_printed(stage.get("log")),
            done=are_made(stage["outputs"], folder) if "outputs" in stage else None,
        )
        for name, stage in read_graph(folder)["stages"].items()
    }  # fmt: skip


def gave_up(run: Path) -> str | None:
    """What a job said that was started too often for nothing; None unless the newest one was."""
    path = run / CRASH_LOOP
    return path.read_text().splitlines()[0] if path.exists() else None


def bad_nodes(run: Path) -> dict[str, str]:
    """Node -> what the check before a start last found wrong with it; a node that was sound later is left out."""
    last = {line["node"]: line["fault"] for line in node_checks(run)}
    return {node: fault for node, fault in last.items() if fault}


def _told(
    name: str, job: str, queue: Mapping[str, list[QueuedJob]], absent: str | None, noted: list[dict[str, Any]],
    **further: Any,
) -> Iterator[JobStatus]:  # fmt: skip
    history = [line for line in noted if line["job"] == job]
    ends = [line["outcome"] for line in history if line["attempt"] == "end"]
    own = {
        "name": name, "starts": sum(line["attempt"] == "start" for line in history),
        "last_end": ends[-1] if ends else None, "history": history, **further,
    }  # fmt: skip
    if job not in queue:
        yield JobStatus(id=job, state=absent, **own)
    for each in queue.get(job, ()):
        yield JobStatus(**asdict(each), **own)


def _log_of(run: Path, job: str) -> str | None:
    """Of a run's job, in the folder of its submission."""
    logs = [folder / f"{job}.log" for folder in submissions(run)]
    return next((str(log) for log in logs if log.exists()), None)


def _printed(log: str | None) -> str | None:
    """Of a stage's job, as `graph.json` names it; of an array, as a pattern."""
    if log is None:
        return None
    path = Path(log.replace("%%", "%"))
    begin, array, _ = path.name.partition("%a")
    there = any(each.name.startswith(begin) for each in path.parent.glob("*.log")) if array else path.exists()
    return str(path.with_name(path.name.replace("%a", "*"))) if there else None


def _known(word: str) -> str | None:
    return None if word in NOTHING else word
