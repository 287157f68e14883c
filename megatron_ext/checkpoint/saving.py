"""Saving while training goes on: a checkpoint is planned by all ranks, written in the background, and named when whole.

Each rank's part is written by a process of its own (`writing.py`). When all have told their rank that their files are
on the disk, the first rank lists the files with their hashes, renames the folder and lets old checkpoints go. A kill
at any moment therefore leaves the checkpoints there were, or those and the new one.

A save that fails, as on a full disk, fails on all ranks alike: its folder is removed and `SaveFailedError` raised where
it is noticed. The run may go on.
"""

import errno
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from megatron.core.dist_checkpointing.core import CheckpointingConfig, save_config
from megatron.core.dist_checkpointing.strategies.filesystem_async import FileSystemWriterAsync

from megatron_ext import platform
from megatron_ext.checkpoint import folders, integrity
from megatron_ext.checkpoint.planning import Planner
from megatron_ext.checkpoint.shards import state_to_save
from megatron_ext.checkpoint.writing import Background, Foreground, SaveFailedError, Written, staged, write
from megatron_ext.config import CheckpointConfig

STATE = "run_state"
LISTS = (".metadata", "metadata.json")
"""Which tensor stands in which file, and in which format: Megatron-core's own."""
MARGIN = 1.05
"""Room that a save asks for, as a multiple of its tensors: names, offsets and the file system's own."""


@dataclass
class _UnderWay:
    step: int
    started: float
    stall: float
    bytes: int
    writer: Background | Foreground


class Saved(NamedTuple):
    """A checkpoint that has become complete."""

    step: int
    seconds: float
    """From the call of `save` to its name."""
    stall: float
    """Of those, the ones that training waited."""
    bytes: int


class Saver:
    """Writes the checkpoints of one run. Every method is called by all ranks, at the same step."""

    def __init__(self, run: Path, config: CheckpointConfig):
        self.run = run
        self.config = config
        self.seconds = 0.0
        """What the last complete checkpoint took: the time that a run needs before it is stopped."""
        self._planner = Planner()
        self._under_way: _UnderWay | None = None
        self._finished: Saved | None = None
        self._removal = threading.Thread()
        if platform.is_first_rank():
            folders.remove_leftovers(run)

    def save(self, step: int, model: list[Any], optimizer: Any | None, state: dict[str, Any]) -> float:
        """Begin a checkpoint, once the one under way is complete; returns the seconds that training waited.

        Args:
            step: optimizer steps taken.
            model: this rank's chunks. They may be changed as soon as this returns.
            optimizer: Megatron-core's distributed one; None for weights alone.
            state: small values that go with it, equal on all ranks; JSON types only.

        Raises:
            SaveFailedError: this one, or the one that was under way.
        """
        started = time.monotonic()
        self._complete()
        writes = self._planner.writes(state_to_save(model, optimizer) | {STATE: state})
        partial_folder = folders.partial_folder(self.run, step)
        _by_first_rank(partial_folder, partial(_make_room, bytes=round(writes.bytes * MARGIN)))
        job = partial(write, staged(writes), partial_folder, rank=torch.distributed.get_rank())
        writer = Background(job) if self.config.asynchronous else Foreground(job)
        self._under_way = _UnderWay(step, started, time.monotonic() - started, writes.bytes, writer)
        if not self.config.asynchronous:
            self._complete()
        return time.monotonic() - started

    def poll(self) -> Saved | None:
        """A checkpoint that became complete since the last call. Cheap; to be called after every step.

        Raises:
            SaveFailedError: it could not be written.
        """
        if self._finished is None and self._under_way is not None:
            running = torch.tensor(int(self._under_way.writer.running), device=platform.device())
            torch.distributed.all_reduce(running, op=torch.distributed.ReduceOp.MAX)
            if not running.item():
                self._complete()
        finished, self._finished = self._finished, None
        return finished

    def finish(self) -> Saved | None:
        """Wait for the checkpoint under way, and for the removal of old ones; returns as `poll` does.

        Raises:
            SaveFailedError: it could not be written.
        """
        self._complete()
        if self._removal.ident is not None:
            self._removal.join()
        finished, self._finished = self._finished, None
        return finished

    def _complete(self) -> None:
        """Wait for the files of all ranks, and give the checkpoint its name."""
        if self._under_way is None:
            return
        began, under_way, self._under_way = time.monotonic(), self._under_way, None
        outcome = under_way.writer.result()
        first = platform.is_first_rank()
        outcomes: list[Any] | None = [None] * torch.distributed.get_world_size() if first else None
        torch.distributed.gather_object(_told(outcome) if isinstance(outcome, Exception) else outcome, outcomes)
        _by_first_rank(folders.partial_folder(self.run, under_way.step), partial(self._give_name, outcomes=outcomes))
        now = time.monotonic()
        self.seconds = now - under_way.started
        self._finished = Saved(under_way.step, self.seconds, under_way.stall + now - began, under_way.bytes)

    def _give_name(self, partial_folder: Path, *, outcomes: list[Written | str]) -> None:
        """On the first rank: what is left to do when all files but the lists are written."""
        for rank, problem in enumerate(outcomes):
            if isinstance(problem, str):
                raise OSError(f"{problem} (rank {rank})")
        FileSystemWriterAsync(partial_folder).finish(self._planner.metadata, [written.results for written in outcomes])
        save_config(CheckpointingConfig("torch_dist", 1), str(partial_folder))
        files = {name: entry for written in outcomes for name, entry in written.files.items()}
        files |= {name: integrity.record(partial_folder / name) for name in LISTS}
        integrity.write_list(partial_folder, files)
        folders.give_name(partial_folder)
        retired = folders.retire(self.run, keep=self.config.keep, keep_every=self.config.keep_every)
        # Removing a large file takes as long as writing a small one: training does not wait for it.
        self._removal = threading.Thread(target=folders.remove, args=(retired,))
        self._removal.start()


def save(run: Path, *, step: int, model: list[Any], optimizer: Any | None, state: dict[str, Any]) -> None:
    """Write one checkpoint and wait for it. Called by all ranks.

    Raises:
        SaveFailedError: it could not be written.
    """
    Saver(run, CheckpointConfig(asynchronous=False)).save(step, model, optimizer, state)


def _told(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _make_room(folder: Path, *, bytes: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    free = shutil.disk_usage(folder).free
    if free < bytes:
        raise OSError(errno.ENOSPC, f"{free:,} bytes free on the disk, and {bytes:,} needed")


def _by_first_rank(folder: Path, action: Callable[[Path], None]) -> None:
    """Do something to an unfinished checkpoint on the first rank; all learn whether it went well.

    Raises:
        SaveFailedError: it did not. The folder is removed.
    """
    problem = [None]
    if platform.is_first_rank():
        try:
            action(folder)
        except OSError as error:
            problem = [_told(error)]
            shutil.rmtree(folder, ignore_errors=True)
    torch.distributed.broadcast_object_list(problem)
    if problem[0] is not None:
        raise SaveFailedError(
            where=str(folder),
            found=problem[0],
            expected="a checkpoint on the disk",
            fix="Make room or mend the disk. Earlier checkpoints are intact: a run goes on there when started again.",
        )
