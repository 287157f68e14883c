"""How runs are doing, from their folders alone: it works where W&B is offline and nothing can be asked of a job.

What Slurm's queue says of their jobs is in `queue.py`.

A run's log of many days is read in a fraction of a second: lines of steps are skipped unread but for the last ones.
"""

import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

from data_tools.errors import InputError
from launch.attempts import ATTEMPTS, LAUNCH, SUBMISSION, attempts, newest_checkpoint
from launch.queue import bad_nodes, gave_up, is_graph

EVENTS, PLAN, MANIFEST = "events.jsonl", "plan.json", "manifest.json"
SIGNS = {PLAN: 0, f"{LAUNCH}/{ATTEMPTS}": 1, f"{LAUNCH}/*/{SUBMISSION}": 2}
"""What a run folder is told by -> folders between the two. A run that waits for its first start has no plan yet."""
STEP_LINE = b'{"event": "step"'
RECENT = 20
"""Steps that speed, waiting and loss are taken from: one alone says little."""
DEEPEST = 4
"""Folders below an experiment in which runs are looked for."""
MOST_PROBLEMS = 5
SILENT_STEPS, SILENT_SECONDS = 10.0, 120.0
"""Without a line for that long, whichever is more, a run is not called running."""


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """One run. What can't be known yet is None."""

    run: str
    state: str
    """finished, running, silent (no line for long), stopped (by a signal, saved), not started."""
    step: int
    steps: int | None
    tokens: int
    budget_tokens: int | None
    loss: float | None
    """Mean over the last RECENT steps, nats per token."""
    tokens_per_second: float | None
    mfu: float | None
    data_wait: float | None
    """Share of a step spent waiting for batches."""
    eta_seconds: float | None
    """To the last step, with the time that checkpoints take."""
    checkpoint_step: int | None
    checkpoint_age_seconds: float | None
    skipped_steps: int
    spikes: int
    restarts: list[dict[str, Any]] = field(default_factory=list)
    """Of each later start: "time", "step" it went on from, "lost_steps" that were trained again, and "why"."""
    bad_nodes: dict[str, str] = field(default_factory=dict)
    """Node -> what the check before a start found wrong with it; its job is queued again without it."""
    gave_up: str | None = None
    """Why its job is not queued again, if it was started too often for nothing."""
    problems: list[str] = field(default_factory=list)
    """What the run has said of itself that somebody should know."""


def runs_below(folder: Path, *, none: bool = False) -> list[Path]:
    """The run folders in a folder, itself included, by name.

    Args:
        folder: run folder, or a folder of some.
        none: whether there may be none, as in an experiment whose jobs wait.

    Raises:
        InputError: there is none.
    """
    levels = ["*/" * depth for depth in range(DEEPEST + 1)]
    found = {
        path.parents[above] for level in levels for sign, above in SIGNS.items() for path in folder.glob(level + sign)
    }
    found = {path for path in found if not is_graph(path)}
    if not found and not none:
        raise InputError(
            where=str(folder), found="no run", expected=f"a run folder, or a folder of some: with {PLAN} in it",
            fix="A run has one after its first seconds. Until then its job's output says what it does.",
        )  # fmt: skip
    return sorted(found)


def status_of(run: Path, *, now: float | None = None) -> RunStatus:
    """Read a run's folder; its job may be writing meanwhile."""
    now = time.time() if now is None else now
    budget = _budget(run)
    events, recent = _read(run / EVENTS)
    starts = [event for event in events if event["event"] == "start"]
    last = recent[-1] if recent else None
    step, steps = last["step"] if last else 0, budget["steps"]
    tokens = 0
    if starts and starts[-1]["step"] < step and not starts[-1]["has_steps"]:
        step = starts[-1]["step"]  # taken up again, and no step is finished yet
        tokens = round(budget["tokens"] * step / steps)
    elif last:
        tokens = last["tokens"]
    checkpoint = newest_checkpoint(run)
    seconds = fmean(each["seconds"] + each["checkpoint_seconds"] for each in recent) if recent else None
    return RunStatus(
        run=str(run), state=_state(run, events, recent, now), step=step, steps=steps,
        tokens=tokens, budget_tokens=budget["tokens"], loss=fmean(each["loss"] for each in recent) if recent else None,
        tokens_per_second=_median(recent, "tokens_per_second"), mfu=_median(recent, "mfu"),
        data_wait=_median(recent, "data_wait"),
        eta_seconds=None if seconds is None or steps is None else seconds * (steps - step),
        checkpoint_step=checkpoint[0] if checkpoint else None,
        checkpoint_age_seconds=now - checkpoint[1].stat().st_mtime if checkpoint else None,
        skipped_steps=last["skipped_steps"] if last else 0,
        spikes=sum(event["event"] == "spike" for event in events),
        restarts=_restarts(events, attempts(run)), problems=_problems(events), gave_up=gave_up(run),
        bad_nodes=bad_nodes(run),
    )  # fmt: skip


def _budget(run: Path) -> dict[str, Any]:
    """The run's steps and tokens; None of a run that has not got so far."""
    path = run / PLAN
    return json.loads(path.read_text())["budget"] if path.exists() else {"steps": None, "tokens": None}


def _read(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(what is rare, with the last step before each start as "step_before"; the last steps)."""
    events: list[dict[str, Any]] = []
    lines: deque[bytes] = deque(maxlen=RECENT)
    start: dict[str, Any] = {}
    for line in _whole_lines(path):
        if line.startswith(STEP_LINE):
            lines.append(line)
            start["has_steps"] = True
            continue
        event = _parsed(path, line)
        if event["event"] == "start":
            event["step_before"] = _parsed(path, lines[-1])["step"] if lines else 0
            event["last_word"] = events[-1] if events else None
            event["has_steps"] = False
            start = event
        events.append(event)
    return events, [_parsed(path, line) for line in lines]


def _whole_lines(path: Path) -> Iterator[bytes]:
    if not path.is_file():
        return
    with path.open("rb") as file:
        yield from (line for line in file if line.endswith(b"\n"))  # the last one may be half written


def _parsed(path: Path, line: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:
        raise InputError(
            where=str(path), found=f"a line that is not JSON: {line[:80]!r}", expected="the file as it was written",
            fix="The file was changed or damaged; take it from a copy of the folder.",
        ) from None  # fmt: skip


def _state(run: Path, events: list[dict[str, Any]], recent: list[dict[str, Any]], now: float) -> str:
    if not events:
        return "not started"
    if events[-1]["event"] == "end" and (run / MANIFEST).exists():
        return "finished"
    newest = max([events[-1]["time"], *(each["time"] for each in recent[-1:])])
    if events[-1]["event"] == "stopped" and events[-1]["time"] == newest:
        return "stopped"
    usual = median(each["seconds"] for each in recent) if recent else 0.0
    return "running" if now - newest < max(SILENT_SECONDS, SILENT_STEPS * usual) else "silent"


def _restarts(events: list[dict[str, Any]], noted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for start in [event for event in events if event["event"] == "start"][1:]:
        word, before = start["last_word"], start["step_before"]
        stopped = word is not None and word["event"] == "stopped" and word["step"] >= before
        why = f"stopped by {word.get('signal') or 'another rank'}" if stopped else _end_before(start, noted)
        found.append({"time": start["time"], "step": start["step"], "lost_steps": max(0, before - start["step"]),
                      "why": why})  # fmt: skip
    return found


def _end_before(start: dict[str, Any], noted: list[dict[str, Any]]) -> str:
    """What the job noted of the ranks' end before a start, where they said nothing themselves."""
    before = [line for line in noted if line["time"] <= start["time"]]
    if before and before[-1]["attempt"] == "start":  # this very one
        before.pop()
    if not before:
        return "ended without a word"
    if before[-1]["attempt"] == "end":
        return str(before[-1]["outcome"])
    return f"ended without a word, and so did job {before[-1]['job']}: it lost a node, was requeued or cancelled"


def _problems(events: list[dict[str, Any]]) -> list[str]:
    failed = [event for event in events if event["event"] == "checkpoint_failed"]
    said = [f"{len(failed)} checkpoints could not be written; the last: {failed[-1]['problem']}"] if failed else []
    said += [each for event in events if (each := _in_words(event))][-MOST_PROBLEMS:]
    starts = [event["step"] for event in events if event["event"] == "start"]
    stuck = sum(1 for _ in _stuck(starts))
    return [*said, f"The last {stuck + 1} starts went on from the same step: a crash loop?"] if stuck > 1 else said


def _in_words(event: dict[str, Any]) -> str | None:
    match event["event"]:
        case "damaged":
            return f"Damaged checkpoint: {event['problem']}"
        case "board_lost":
            return f"{event['board']} is told nothing more: {event['reason']}"
        case "wandb_offline":
            return f"W&B could not be reached: {event['reason']}. {event['fix']}"
    return None


def _stuck(starts: list[int]) -> Iterator[int]:
    """The last starts that went on from where the one before had gone on from."""
    for later, earlier in pairwise(reversed(starts)):
        if later != earlier:
            return
        yield later


def _median(recent: list[dict[str, Any]], name: str) -> float | None:
    values = [each[name] for each in recent if name in each]
    return median(values) if values else None
