"""Boards: what draws a run's curves for people, each told by a thread of its own.

Neither a slow disk nor a lost network stands between two steps; a board that fails is let go with an event that says
why, and training goes on. W&B's own counter is the number of the line in `events.jsonl`, which never goes back, not
even when steps are trained again after a restart: W&B silently drops whatever goes back.

Both boards make one section of panels for each first part of a name, so the names decide what a new run's page looks
like: `loss` on top, then sections `loss`, `budget`, `speed`, `health`.
"""

import os
import queue
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from megatron_ext.config import RunConfig, as_dict

MOST_WAITING = 10_000
"""Steps that may wait for a board; with more it has stopped listening, and misses some."""
OPENING_SECONDS = 30
CLOSING_SECONDS = 30
"""For W&B to finish: a run that was asked to stop has little time. `megatron-ext sync` uploads the rest."""
FLUSH_SECONDS = 1.0
"""A kill takes from the boards what is younger. They keep back far more by themselves: 15 s (W&B), 120 s."""
BETWEEN_ALERTS = 600
"""Seconds in which W&B tells an alert of the same title once."""
SECTIONS = {
    "loss": "", "trained": "budget", "epochs": "budget", "documents": "budget", "trained_tokens": "budget",
    "seconds": "speed", "data_seconds": "speed", "data_wait": "speed", "checkpoint_seconds": "speed",
    "probe_seconds": "speed", "tokens_per_second": "speed", "tokens_per_second_per_gpu": "speed", "mfu": "speed",
}  # fmt: skip
"""First part of a figure's name -> the section of its panel; those that are not here: HEALTH."""
HEALTH = "health"

Report = Callable[..., None]


def section_of(name: str) -> str:
    """The name of a step's figure on the boards: `loss`, `loss/real`, `speed/mfu`, `health/grad_norm`."""
    section = SECTIONS.get(name.partition("/")[0], HEALTH)
    return f"{section}/{name}" if section else name


class Board(Protocol):
    """Something that draws curves."""

    def log(self, line: int, tokens: int, numbers: Mapping[str, float]) -> None:
        """One step: its line in events.jsonl, the x axis, and what to draw."""

    def alert(self, title: str, text: str) -> None:
        """Something that somebody should know at once."""

    def close(self) -> None:
        """Keep what was logged."""


class Background:
    """A board that is opened, told and closed by a thread of its own. It never delays and never raises."""

    def __init__(self, name: str, open_board: Callable[[], Board], report: Report):
        self._name, self._open, self._report = name, open_board, report
        self._queue: queue.Queue[Callable[[Board], None] | None] = queue.Queue(MOST_WAITING)
        self._listens = True
        self._thread = threading.Thread(target=self._work, name=f"track to {name}", daemon=True)
        self._thread.start()

    def put(self, tell: Callable[[Board], None]) -> None:
        """Have the board told when its turn comes."""
        if not self._listens:
            return
        try:
            self._queue.put_nowait(tell)
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
            while (tell := self._queue.get()) is not None:
                tell(board)
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

    def alert(self, _title: str, _text: str) -> None:
        """TensorBoard wakes nobody up; events.jsonl has it."""

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
                group=config.tracking.group,
                job_type=config.tracking.job_type,
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
            report("wandb_offline", reason=_short(error), fix="Upload the run later with `megatron-ext sync`.")
        self._run.define_metric("*", step_metric="tokens")

    def log(self, line: int, tokens: int, numbers: Mapping[str, float]) -> None:
        # Without `commit` a point that names its step is kept back until the next one comes.
        self._run.log({"tokens": tokens, **numbers}, step=line, commit=True)

    def alert(self, title: str, text: str) -> None:
        """Told at once or not at all: nobody is helped by one that arrives with an upload, days later."""
        if not self._run.offline:
            self._run.alert(title, text, level="WARN", wait_duration=BETWEEN_ALERTS)

    def close(self) -> None:
        self._run.finish()


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
