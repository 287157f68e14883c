"""A run's record: `events.jsonl` for our own reports, TensorBoard and W&B for people.

`events.jsonl` holds everything, one plain JSON object a line. The boards are told the same numbers (see `boards.py`),
with tokens as the x axis, and online W&B sends an alert when a run was stopped, its loss has a spike, a checkpoint
could not be written, or it starts again and again from the same step. W&B is offline unless the config says otherwise:
nothing leaves the machine by itself.
"""

import json
import math
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from data_tools.files import write_whole
from megatron_ext.config import RunConfig
from megatron_ext.training.boards import Background, Board, TensorBoard, WeightsAndBiases, section_of

EVENTS = "events.jsonl"
WANDB_ID = "wandb_id"
READ_CHUNK = 1 << 20
START_LINE = b'{"event": "start"'
STUCK_STARTS = 3
"""From the same step one after the other: something ends the run before its next checkpoint."""
MOST_OF_A_TITLE = 63
"""W&B's limit, less one."""


class Tracker:
    """The first rank's log; on other ranks every call does nothing."""

    def __init__(self, folder: Path, config: RunConfig, *, run_id: str, active: bool):
        self.folder, self.active = folder, active
        if not active:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = cut_torn_line(folder / EVENTS)
        self._starts = steps_of_starts(folder / EVENTS)
        self._events = (folder / EVENTS).open("a")
        self._lock = threading.Lock()
        opening = {}
        if config.tracking.tensorboard:
            opening["tensorboard"] = partial(TensorBoard, folder)
        if config.tracking.wandb != "disabled":
            opening["wandb"] = partial(WeightsAndBiases, folder, config, run_id, self.event)
        self._boards = [Background(name, board, self.event) for name, board in opening.items()]

    def event(self, name: str, **values: Any) -> None:
        """One line of events.jsonl, on the disk when this returns. For what is rare: see `step`."""
        if self.active:
            self._write({"event": name, "time": round(time.time(), 3), **values})
            self.sync()
            for title, text in alerts_of(name, values, self._starts):
                for board in self._boards:
                    board.put(partial(_alert, title=f"{self.folder.name}: {title}"[:MOST_OF_A_TITLE], text=text))

    def step(self, **values: Any) -> None:
        """One optimizer step: a line of events.jsonl, and every number of it on the boards, by `boards.section_of`.

        The line is handed to the system, so that a kill loses nothing. It isn't forced to the disk, which takes
        milliseconds and more: `sync` does so before a checkpoint, and steps after the last one are trained again.

        Args:
            values: needs `step` and `tokens`, the x axis.
        """
        self._tell("step", section_of, values)

    def measured(self, name: str, *, board: str, **values: Any) -> None:
        """As `step`, of what is measured between steps: the event `name`, and numbers as `<board>/<name>`."""
        self._tell(name, f"{board}/{{}}".format, values)

    def _tell(self, event: str, shown_as: Callable[[str], str], values: Mapping[str, Any]) -> None:
        if not self.active:
            return
        line = self._write({"event": event, "time": round(time.time(), 3), **values})
        numbers = {
            shown_as(key): value
            for key, value in values.items()
            if key not in ("step", "tokens") and isinstance(value, int | float)
        }
        for board in self._boards:
            board.put(partial(_log, line=line, tokens=values["tokens"], numbers=numbers))

    def sync(self) -> None:
        """Everything written so far is on the disk when this returns."""
        if self.active:
            os.fsync(self._events.fileno())

    def close(self) -> None:
        if not self.active:
            return
        for board in self._boards:
            board.close()
        self.sync()
        self._events.close()
        self.active = False  # a board that was left behind may still have something to say

    def _write(self, event: Mapping[str, Any]) -> int:
        """Number of the line, counted from 1."""
        # JSON knows no NaN, and strict readers refuse one.
        plain = {name: value if _fits_json(value) else str(value) for name, value in event.items()}
        with self._lock:
            self._events.write(json.dumps(plain) + "\n")
            self._events.flush()
            self._lines += 1
            return self._lines


def alerts_of(event: str, values: Mapping[str, Any], starts: Sequence[int]) -> Iterator[tuple[str, str]]:
    """(title, text) of what somebody should know at once.

    Args:
        event: its name.
        values: what it says.
        starts: steps that earlier starts of the run went on from, oldest first.
    """
    match event:
        case "stopped":
            by = values.get("signal") or "a signal to another rank"
            yield "stopped", f"Stopped by {by} after step {values['step']:,}; its checkpoint is written."
        case "spike":
            yield "spike of the loss", f"Step {values['step']:,}; its samples are in {values['file']}."
        case "checkpoint_failed":
            yield "a checkpoint could not be written", str(values["problem"])
        case "start":
            last = starts[1 - STUCK_STARTS :]
            if len(last) == STUCK_STARTS - 1 and set(last) == {values["step"]}:
                yield "crash loop", f"The last {STUCK_STARTS} starts went on from the same step, {values['step']:,}."


def steps_of_starts(path: Path) -> list[int]:
    """The steps that the starts in a log went on from, oldest first."""
    with path.open("rb") as file:
        return [json.loads(line)["step"] for line in file if line.startswith(START_LINE)]


def wandb_id(folder: Path, saved: str | None) -> str:
    """The W&B run of a run folder, the same at every start; for the first rank to call, and to tell the others.

    `<run>/wandb_id` is written before anything is logged, so that a run which is killed before its first checkpoint
    stays one run. If it differs from a checkpoint's, it wins: it was written for this very folder, and the checkpoint
    was brought from another run, whose curves must not be continued here. A checkpoint's is for a folder that has
    lost its own. To give a copy of a folder a W&B run of its own, write another id into the file.

    Args:
        folder: run folder.
        saved: what the checkpoint says that the run goes on from, if there is one.
    """
    path = folder / WANDB_ID
    kept = path.read_text().strip() if path.exists() else ""
    if kept:
        return kept
    chosen = saved or uuid.uuid4().hex[:8]
    write_whole(path, chosen + "\n")
    return chosen


def cut_torn_line(path: Path) -> int:
    """Remove a last line that a kill left without its end; returns the number of lines."""
    path.touch()
    lines = end = position = 0
    with path.open("r+b") as file:
        while chunk := file.read(READ_CHUNK):
            lines += chunk.count(b"\n")
            last = chunk.rfind(b"\n")
            end = position + last + 1 if last >= 0 else end
            position += len(chunk)
        file.truncate(end)
    return lines


def _log(board: Board, *, line: int, tokens: int, numbers: Mapping[str, float]) -> None:
    board.log(line, tokens, numbers)


def _alert(board: Board, *, title: str, text: str) -> None:
    board.alert(title, text)


def _fits_json(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
