"""How runs are doing, from their folders alone: it works where W&B is offline and nothing can be asked of a job.

A run's log of many days is read in a fraction of a second: lines of steps are skipped unread but for the last ones.
"""

import json
import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

from data_tools.errors import InputError

EVENTS, PLAN, MANIFEST, CHECKPOINTS = "events.jsonl", "plan.json", "manifest.json", "checkpoints"
CHECKPOINT = re.compile(r"step_(\d{8,})")
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
    problems: list[str] = field(default_factory=list)
    """What the run has said of itself that somebody should know."""


def runs_below(folder: Path) -> list[Path]:
    """The run folders in a folder, itself included, by name.

    Raises:
        InputError: there is none.
    """
    levels = ("/".join(["*"] * depth) for depth in range(DEEPEST + 1))
    found = {path.parent for level in levels for path in folder.glob(f"{level}/{PLAN}" if level else PLAN)}
    if not found:
        raise InputError(
            where=str(folder), found="no run", expected=f"a run folder, or a folder of some: with {PLAN} in it",
            fix="A run has one after its first seconds. Until then its job's output says what it does.",
        )  # fmt: skip
    return sorted(found)


def status_of(run: Path, *, now: float | None = None) -> RunStatus:
    """Read a run's folder; its job may be writing meanwhile."""
    now = time.time() if now is None else now
    budget = json.loads((run / PLAN).read_text())["budget"]
    events, recent = _read(run / EVENTS)
    starts = [event for event in events if event["event"] == "start"]
    last = recent[-1] if recent else None
    step, steps = last["step"] if last else 0, budget["steps"]
    if starts and starts[-1]["step"] < step and not _after(recent, starts[-1]):
        step = starts[-1]["step"]  # taken up again, and no step is finished yet
    checkpoint = _newest_checkpoint(run)
    seconds = fmean(each["seconds"] + each["checkpoint_seconds"] for each in recent) if recent else None
    return RunStatus(
        run=str(run), state=_state(run, events, recent, now), step=step, steps=steps,
        tokens=last["tokens"] if last and step == last["step"] else round(budget["tokens"] * step / steps),
        budget_tokens=budget["tokens"], loss=fmean(each["loss"] for each in recent) if recent else None,
        tokens_per_second=_median(recent, "tokens_per_second"), mfu=_median(recent, "mfu"),
        data_wait=_median(recent, "data_wait"), eta_seconds=None if seconds is None else seconds * (steps - step),
        checkpoint_step=checkpoint[0] if checkpoint else None,
        checkpoint_age_seconds=now - checkpoint[1] if checkpoint else None,
        skipped_steps=last["skipped_steps"] if last else 0,
        spikes=sum(event["event"] == "spike" for event in events), restarts=_restarts(events),
        problems=_problems(events),
    )  # fmt: skip


def _read(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(what is rare, with the last step before each start as "step_before"; the last steps)."""
    events: list[dict[str, Any]] = []
    lines: deque[bytes] = deque(maxlen=RECENT)
    for line in _whole_lines(path):
        if line.startswith(STEP_LINE):
            lines.append(line)
            continue
        event = _parsed(path, line)
        if event["event"] == "start":
            event["step_before"] = _parsed(path, lines[-1])["step"] if lines else 0
            event["last_word"] = events[-1] if events else None
            event["time_before"] = _parsed(path, lines[-1])["time"] if lines else None
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


def _after(recent: list[dict[str, Any]], start: dict[str, Any]) -> bool:
    return bool(recent) and recent[-1]["time"] >= start["time"]


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


def _restarts(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for start in [event for event in events if event["event"] == "start"][1:]:
        word, before = start["last_word"], start["step_before"]
        stopped = word is not None and word["event"] == "stopped" and word["step"] >= before
        why = f"stopped by {word.get('signal') or 'another rank'}" if stopped else "ended without a word"
        found.append({"time": start["time"], "step": start["step"], "lost_steps": max(0, before - start["step"]),
                      "why": why})  # fmt: skip
    return found


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


def _newest_checkpoint(run: Path) -> tuple[int, float] | None:
    """(step, time of its writing)."""
    found = [
        (int(match[1]), path.stat().st_mtime)
        for path in (run / CHECKPOINTS).glob("step_*") if (match := CHECKPOINT.fullmatch(path.name))
    ]  # fmt: skip
    return max(found, default=None)


def _median(recent: list[dict[str, Any]], name: str) -> float | None:
    values = [each[name] for each in recent if name in each]
    return median(values) if values else None
