"""A run's record: `events.jsonl` for our own reports, TensorBoard and W&B for people.

W&B is offline unless the config says otherwise: nothing leaves the machine by itself. Its run id goes into every
checkpoint, so that a run that is stopped and started again stays one run there. The x axis is tokens, never W&B's own
step counter, which would drop the steps that are trained again after a restart.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from megatron_ext.config import RunConfig, as_dict

EVENTS = "events.jsonl"


class Tracker:
    """The first rank's log; on other ranks every call does nothing."""

    def __init__(self, folder: Path, config: RunConfig, *, run_id: str, active: bool):
        self.active = active
        if not active:
            return
        self.folder = folder
        cut_torn_line(folder / EVENTS)
        self._events = (folder / EVENTS).open("a")
        self._tensorboard = _tensorboard(folder) if config.tracking.tensorboard else None
        self._wandb = _wandb(folder, config, run_id)

    def event(self, name: str, **values: Any) -> None:
        """One line of events.jsonl, on the disk when this returns."""
        if not self.active:
            return
        self._events.write(json.dumps({"event": name, "time": round(time.time(), 3), **values}) + "\n")
        self._events.flush()
        os.fsync(self._events.fileno())

    def step(self, **values: Any) -> None:
        """One optimizer step: needs `tokens`, the x axis."""
        if not self.active:
            return
        self.event("step", **values)
        numbers = {name: value for name, value in values.items() if name not in ("step", "tokens")}
        if self._tensorboard is not None:
            for name, value in numbers.items():
                self._tensorboard.add_scalar(f"train/{name}", value, values["tokens"])
        if self._wandb is not None:
            self._wandb.log({"tokens": values["tokens"], **{f"train/{name}": value for name, value in numbers.items()}})

    def close(self) -> None:
        if not self.active:
            return
        self._events.close()
        if self._tensorboard is not None:
            self._tensorboard.close()
        if self._wandb is not None:
            self._wandb.finish()


def cut_torn_line(path: Path) -> None:
    """Remove a last line that a kill left without its end, so that the next line starts on its own."""
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)


def _tensorboard(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"))


def _wandb(folder: Path, config: RunConfig, run_id: str) -> Any:
    if config.tracking.wandb == "disabled":
        return None
    import wandb

    run = wandb.init(
        project=config.tracking.project,
        name=folder.name,
        id=run_id,
        resume="allow",
        dir=str(folder),
        mode=config.tracking.wandb,
        config=as_dict(config),
        settings=wandb.Settings(silent=True, console="off"),
    )
    run.define_metric("*", step_metric="tokens")
    return run
