"""Checkpoints by Megatron-core's dist_checkpointing; a half-written one is never chosen.

`<run>/checkpoints/step_00000120/` appears by one rename after every rank has written and the files are on the disk.
Its common part holds the step, the plan's fingerprint and the W&B run; the learning rate comes from the config.
"""

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from megatron.core import dist_checkpointing
from megatron.core.package_info import __version__ as megatron_version

from data_tools.errors import InputError
from megatron_ext.platform import is_first_rank

FOLDER = "checkpoints"
STATE = "run_state"
OPTIMIZER_LAYOUT = {"distrib_optim_sharding_type": "fully_reshardable"}
"""Written so that another number of ranks can read it."""


def step_folder(run: Path, step: int) -> Path:
    return run / FOLDER / f"step_{step:08d}"


def latest(run: Path) -> Path | None:
    """The newest complete checkpoint of a run, if there is one."""
    complete = sorted(path for path in (run / FOLDER).glob("step_*") if path.suffix != ".partial")
    return complete[-1] if complete else None


def require_latest(run: Path) -> Path:
    """The newest complete checkpoint.

    Raises:
        InputError: there is none.
    """
    found = latest(run)
    if found is None:
        raise InputError(
            where=str(run / FOLDER),
            found="no complete checkpoint",
            expected="a folder step_*",
            fix="Train this run first, or name another run folder.",
        )
    return found


def save(run: Path, *, step: int, model: Any, optimizer: Any, state: dict[str, Any], keep: int = 2) -> Path:
    """Write a checkpoint with all ranks; called by each of them.

    Args:
        run: run folder.
        step: optimizer steps taken.
        model: Megatron-core model (DistributedDataParallel around it or not).
        optimizer: Megatron-core optimizer.
        state: small values that go with it; JSON types only.
        keep: newest complete checkpoints that stay.
    """
    folder = step_folder(run, step)
    partial = folder.with_name(folder.name + ".partial")
    if is_first_rank():
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    torch.distributed.barrier()
    with _quiet():
        dist_checkpointing.save(_sharded(model, optimizer, loading=False) | {STATE: state}, str(partial), **_strategy())
    torch.distributed.barrier()
    if is_first_rank():
        _flush(partial)
        partial.rename(folder)
        _flush(folder.parent)
        for old in sorted((run / FOLDER).glob("step_????????"))[:-keep]:
            shutil.rmtree(old)
    torch.distributed.barrier()
    return folder


def load(folder: Path, *, model: Any, optimizer: Any | None) -> dict[str, Any]:
    """Read weights (and the optimizer's state, if given) in this run's layout; returns the state saved with them."""
    sharded = _sharded(model, optimizer, loading=True)
    with _quiet():
        loaded = dist_checkpointing.load(sharded, str(folder))
    for number, chunk in enumerate(model):
        _bare(chunk).load_state_dict(loaded[f"model{number}"])
    if optimizer is not None:
        optimizer.load_state_dict(loaded["optimizer"])
    return loaded[STATE]


def _sharded(model: Any, optimizer: Any | None, *, loading: bool) -> dict[str, Any]:
    states: dict[str, Any] = {f"model{number}": _bare(chunk).sharded_state_dict() for number, chunk in enumerate(model)}
    model_state = dict(states) if len(model) > 1 else states["model0"]
    if optimizer is not None:
        states["optimizer"] = optimizer.sharded_state_dict(model_state, is_loading=loading, metadata=OPTIMIZER_LAYOUT)
    return states


def _bare(model: Any) -> Any:
    return model.module if hasattr(model, "ddp_config") else model


def _strategy() -> dict[str, Any]:
    # From 0.17 on the default strategy needs nvidia-resiliency-ext; Megatron-core's own one is always there.
    return {} if megatron_version.startswith("0.16") else {"async_strategy": "mcore"}


def _quiet() -> warnings.catch_warnings:
    # torch.distributed.checkpoint announces its own deprecations at each save.
    return warnings.catch_warnings(action="ignore")


def _flush(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Saver:
    def __init__(self, run: Path, config: Any):
        self.run, self.config = run, config

    def save(self, step: int, model: Any, optimizer: Any, state: dict[str, Any]) -> None:
        save(self.run, step=step, model=model, optimizer=optimizer, state=state)

    def poll(self) -> None:
        return None

    def finish(self) -> None:
        return None


def newest_sound(run: Path) -> tuple[Path | None, list[str]]:
    return latest(run), []


def resolve(start: Path) -> Path:
    return start if start.parent.name == FOLDER else require_latest(start)
