"""A run's record: `events.jsonl` for our own reports, TensorBoard and W&B for people.

`events.jsonl` holds everything, one plain JSON object a line. The boards are told the same numbers by threads of their
own, so that neither a slow disk nor a lost network stands between two steps; a board that fails is let go with an
event that says why, and training goes on. W&B is offline unless the config says otherwise: nothing leaves the machine
by itself.

The x axis is tokens. W&B's own counter is the number of the line in `events.jsonl`, which never goes back, not even
when steps are trained again after a restart: W&B silently drops whatever goes back.
"""

import json
import math
import os
import queue
import signal
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from data_tools.files import write_whole
from megatron_ext.config import RunConfig, as_dict

EVENTS = "events.jsonl"
WANDB_ID = "wandb_id"
MOST_WAITING = 10_000
"""Steps that may wait for a board; with more it has stopped listening, and misses some."""
OPENING_SECONDS = 30
CLOSING_SECONDS = 30
"""For W&B to upload the rest: a run that was asked to stop has little time. `wandb sync` uploads what was left."""
FLUSH_SECONDS = 1.0
"""A kill takes from the boards what is younger. They keep back far more by themselves: 15 s (W&B), 120 s."""
READ_CHUNK = 1 << 20

Report = Callable[..., None]


class Board(Protocol):
    """Something that draws curves."""

    def log(self, line: int, tokens: int, numbers: Mapping[str, float]) -> None:
        """One step: its line in events.jsonl, the x axis, and what to draw."""

    def close(self) -> None:
        """Keep what was logged."""


class Tracker:
    """The first rank's log; on other ranks every call does nothing."""

    def __init__(self, folder: Path, config: RunConfig, *, run_id: str, active: bool):
        self.folder, self.active = folder, active
        if not active:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = cut_torn_line(folder / EVENTS)
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

    def step(self, **values: Any) -> None:
        """One optimizer step: a line of events.jsonl, and every number of it on the boards as `train/<name>`.

        The line is handed to the system, so that a kill loses nothing. It isn't forced to the disk, which takes
        milliseconds and more: `sync` does so before a checkpoint, and steps after the last one are trained again.

        Args:
            values: needs `step` and `tokens`, the x axis.
        """
        self.measured("step", board="train", **values)

    def measured(self, name: str, *, board: str, **values: Any) -> None:
        """As `step`, of what is measured between steps: the event `name`, and numbers as `<board>/<name>`."""
        if not self.active:
            return
        line = self._write({"event": name, "time": round(time.time(), 3), **values})
        numbers = {
            f"{board}/{key}": value
            for key, value in values.items()
            if key not in ("step", "tokens") and isinstance(value, int | float)
        }
        for listener in self._boards:
            listener.put(line, values["tokens"], numbers)

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


class Background:
    """A board that is opened, told and closed by a thread of its own. It never delays and never raises."""

    def __init__(self, name: str, open_board: Callable[[], Board], report: Report):
        self._name, self._open, self._report = name, open_board, report
        self._queue: queue.Queue[tuple[int, int, Mapping[str, float]] | None] = queue.Queue(MOST_WAITING)
        self._listens = True
        self._thread = threading.Thread(target=self._work, name=f"track to {name}", daemon=True)
        self._thread.start()

    def put(self, line: int, tokens: int, numbers: Mapping[str, float]) -> None:
        if not self._listens:
            return
        try:
            self._queue.put_nowait((line, tokens, numbers))
        except queue.Full:
            self._listens = False
            self._report("board_lost", board=self._name, reason=f"{MOST_WAITING} steps wait for it")

    def close(self) -> None:
        """Wait a little for what is still to be told."""
        with suppress(queue.Full):
            self._queue.put(None, timeout=1.0)
        self._thread.join(CLOSING_SECONDS + 5.0)
        if self._thread.is_alive():
            self._report("board_lost", board=self._name, reason=f"not closed within {CLOSING_SECONDS} s")

    def _work(self) -> None:
        try:
            board = self._open()
            while (item := self._queue.get()) is not None:
                board.log(*item)
            board.close()
        except Exception as error:  # whatever it is: no curve is worth a run, and events.jsonl holds the numbers
            self._listens = False
            self._report("board_lost", board=self._name, reason=_short(error))


class TensorBoard:
    """Event files in `<run>/tensorboard`."""

    def __init__(self, folder: Path):
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), flush_secs=FLUSH_SECONDS)

    def log(self, _line: int, tokens: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, tokens)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """One W&B run, offline in `<run>/wandb` if it can't be reached."""

    def __init__(self, folder: Path, config: RunConfig, run_id: str, report: Report):
        import wandb

        interval = "x_transaction_log_flush_interval"  # not promised by W&B: without it a kill costs 15 s of curves
        optional = {interval: FLUSH_SECONDS} if interval in wandb.Settings.model_fields else {}

        def start(mode: str) -> Any:
            return wandb.init(
                project=config.tracking.project,
                name=folder.name,
                id=run_id,
                resume="allow",
                dir=str(folder),
                mode=mode,
                config=as_dict(config),
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    init_timeout=OPENING_SECONDS,
                    login_timeout=OPENING_SECONDS,
                    finish_timeout=CLOSING_SECONDS,
                    # The button "Stop run" asks as a scheduler does; W&B's own way is a KeyboardInterrupt in a step.
                    stop_fn=partial(os.kill, os.getpid(), signal.SIGUSR1),
                    **optional,
                ),
            )

        try:
            self._run = start(config.tracking.wandb)
        except Exception as error:
            if config.tracking.wandb == "offline":
                raise
            wandb.teardown()  # otherwise its service still holds the run
            self._run = start("offline")
            report("wandb_offline", reason=_short(error), fix="Upload the run later with `wandb sync`.")
        self._run.define_metric("*", step_metric="tokens")

    def log(self, line: int, tokens: int, numbers: Mapping[str, float]) -> None:
        # Without `commit` a point that names its step is kept back until the next one comes.
        self._run.log({"tokens": tokens, **numbers}, step=line, commit=True)

    def close(self) -> None:
        self._run.finish()


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


def _fits_json(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
