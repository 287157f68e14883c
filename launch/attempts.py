"""What a run folder says of its jobs: its submissions, their starts and ends, checkpoints, and how long it saves.

`RUN/launch/0001/` holds what one submission was made of. `RUN/launch/attempts.jsonl` has a line for each start and each
end of the ranks: a run's history on the cluster, which Slurm forgets minutes after a job's end.
"""

import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAUNCH, ATTEMPTS, NODES, SUBMISSION = "launch", "attempts.jsonl", "nodes.jsonl", "submission.json"
CRASH_LOOP = "crash_loop.txt"
NUMBER = re.compile(r"\d{4,}")
CHECKPOINT = re.compile(r"step_(\d{8,})")
TAIL = 1 << 20
"""Bytes of events.jsonl that are looked at: thousands of steps."""
SAVES_IN_NOTICE = 2
"""One may be under way when the run is told to save; it is finished before the last one begins."""
NOTICE_MARGIN = 60
"""Seconds for W&B to upload the rest, and for the job to be queued again."""


def folder_of(run: Path) -> Path:
    return run / LAUNCH


def submissions(run: Path) -> list[Path]:
    """Folders of a run's submissions, oldest first."""
    found = (path for path in folder_of(run).glob("*") if NUMBER.fullmatch(path.name))
    return sorted(found, key=lambda path: int(path.name))


def next_submission(run: Path) -> Path:
    """Where the next submission of a run is to be kept."""
    before = submissions(run)
    return folder_of(run) / f"{int(before[-1].name) + 1 if before else 1:04d}"


def record_of(submission: Path) -> dict[str, Any]:
    """{"job", "script"}: the job's id, and the hash of the script that was submitted. Empty if it never was."""
    path = submission / SUBMISSION
    return json.loads(path.read_text()) if path.exists() else {}


def jobs(run: Path) -> list[str]:
    """Ids of the jobs that were submitted for a run, or have been started in it, oldest first."""
    submitted = [record_of(submission).get("job") for submission in submissions(run)]
    started = [line["job"] for line in attempts(run)]
    return list(dict.fromkeys(job for job in (*submitted, *started) if job))


def attempts(run: Path) -> list[dict[str, Any]]:
    """Starts and ends of the ranks, oldest first; a line that a kill left torn is passed over."""
    path = folder_of(run) / ATTEMPTS
    return list(_lines(path.read_text())) if path.exists() else []


def note(run: Path, what: str, **values: Any) -> None:
    """Add a start or an end."""
    line = json.dumps({"attempt": what, "time": round(time.time(), 3), **values})
    with (folder_of(run) / ATTEMPTS).open("a+b") as file:
        end = file.tell()
        file.seek(max(0, end - 1))
        torn = end > 0 and file.read(1) != b"\n"
        file.write((b"\n" if torn else b"") + line.encode() + b"\n")


def node_checks(run: Path) -> list[dict[str, Any]]:
    """What the checks before each start found out about each node, oldest first."""
    path = folder_of(run) / NODES
    return list(_lines(path.read_text())) if path.exists() else []


def newest_checkpoint(run: Path) -> tuple[int, Path] | None:
    """(step, folder) of the newest complete checkpoint, if there is one."""
    paths = (run / "checkpoints").glob("step_*")
    found = [(int(match[1]), path) for path in paths if (match := CHECKPOINT.fullmatch(path.name))]
    return max(found, default=None)


def newest_step(run: Path) -> int | None:
    """Its step."""
    found = newest_checkpoint(run)
    return found and found[0]


@dataclass(frozen=True)
class Pace:
    """How a run has gone so far."""

    save_seconds: float | None
    """Of the slowest of its recent saves."""
    step_seconds: float | None
    """Of the slowest of its recent steps."""
    tokens_per_second: float | None
    ranks: int | None
    """That it ran on when this was measured."""


def pace(run: Path) -> Pace:
    """As its events say; None for what has not been measured yet."""
    events = list(recent_events(run))
    saves = [event["seconds"] for event in events if event["event"] == "checkpoint"]
    steps = [event for event in events if event["event"] == "step"][-100:]
    ranks = [event["ranks"] for event in events if event["event"] == "start"]
    speeds = sorted(event["tokens_per_second"] for event in steps if "tokens_per_second" in event)
    return Pace(
        save_seconds=max(saves, default=None),
        step_seconds=max((event["seconds"] for event in steps), default=None),
        tokens_per_second=speeds[len(speeds) // 2] if speeds else None,
        ranks=ranks[-1] if ranks else None,
    )


def notice(measured: Pace, *, first: int) -> int:
    """Seconds before the time limit at which a run has to be told to save, from how long its saves and steps took.

    Args:
        measured: the run's pace.
        first: what to take as long as no save was measured.
    """
    if measured.save_seconds is None:
        return first
    needed = NOTICE_MARGIN + SAVES_IN_NOTICE * measured.save_seconds + (measured.step_seconds or 0.0)
    return 10 * math.ceil(needed / 10)


def last_stop(run: Path, *, since: float) -> dict[str, Any] | None:
    """The event of an ordered stop since a time (Unix seconds), if there is one."""
    stops = [event for event in recent_events(run) if event["event"] == "stopped" and event["time"] >= since]
    return stops[-1] if stops else None


def recent_events(run: Path) -> Iterator[dict[str, Any]]:
    """The last events of a run, oldest first."""
    path = run / "events.jsonl"
    if path.exists():
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            yield from _lines(file.read().decode(errors="replace"))


def _lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            continue  # the first of a tail, or one that a kill left torn
        if isinstance(value, dict):
            yield value
