"""Reading a checkpoint into whatever layout this run has, after making sure that it is sound and fits."""

import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from megatron.core import dist_checkpointing
from megatron.core.dist_checkpointing.dict_utils import nested_values
from megatron.core.dist_checkpointing.mapping import ShardedTensor, ShardedTensorFactory
from torch.distributed.checkpoint import FileSystemReader

from data_tools.errors import InputError
from megatron_ext import platform
from megatron_ext.checkpoint import folders, integrity
from megatron_ext.checkpoint.saving import STATE
from megatron_ext.checkpoint.shards import OPTIMIZER, PREFIX, bare, distributed, state_to_load


def require_sound(run: Path) -> tuple[Path | None, list[str]]:
    """As `newest_sound`, for a run that goes on: it must not begin anew because all that it has written is damaged.

    Raises:
        InputError: there are checkpoints, and none is sound.
    """
    found, problems = newest_sound(run)
    if found is None and problems:
        raise InputError(
            where=str(run / folders.FOLDER),
            found="; ".join(problems),
            expected="at least one sound checkpoint",
            fix="Bring the files back, or begin anew in another run folder.",
        )
    return found, problems


def newest_sound(run: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint whose files are all as they were written, and what is wrong with those after it.

    Called by all ranks, which share the reading. Unsound ones are renamed `*.unsound` if an earlier one can be taken.
    """
    problems: list[str] = []
    unsound: list[Path] = []
    for folder in reversed(_agreed(folders.complete(run))):
        problem = next(filter(None, _from_all(_problem_of_share(folder))), None)
        if problem is None:
            if platform.is_first_rank():
                for damaged in unsound:
                    folders.set_aside(damaged)
            return folder, problems
        problems.append(problem)
        unsound.append(folder)
    return None, problems


def require_whole(folder: Path) -> Path:
    """The same checkpoint, if all its files are as they were written. Called by all ranks, which share the reading.

    Raises:
        InputError: one is not.
    """
    problem = next(filter(None, _from_all(_problem_of_share(folder))), None)
    if problem is not None:
        raise InputError(
            where=str(folder), found=problem, expected="a sound checkpoint",
            fix="Bring the file back, or start from another checkpoint.",
        )  # fmt: skip
    return folder


def _problem_of_share(folder: Path) -> str | None:
    if not torch.distributed.is_initialized():
        return integrity.problem_of(folder)
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    return integrity.problem_of(folder, share=rank, shares=ranks)


def load(folder: Path, model: list[Any], optimizer: Any | None) -> dict[str, Any]:
    """Read weights, and the optimizer's state if one is given; returns the state that was saved with them.

    Called by all ranks. Only what belongs to this rank is read, straight into the tensors in use.

    Args:
        folder: a complete checkpoint, of any layout.
        model: this rank's chunks, in DistributedDataParallel or bare.
        optimizer: Megatron-core's distributed one.

    Raises:
        InputError: there is no checkpoint there, or it is of another model. Nothing was changed.
    """
    _require_fit(folder, model, optimizer)
    common = dist_checkpointing.load_common_state_dict(str(folder))
    if optimizer is not None and _has_moments(common[OPTIMIZER]):
        groups = {name: part for name, part in common[OPTIMIZER].items() if name != "param_state"}
        distributed(optimizer).load_state_dict(groups)
    with warnings.catch_warnings(action="ignore"):  # torch announces its own deprecations at each load
        state = state_to_load(model, optimizer)
        loaded = dist_checkpointing.load(state, str(folder), validate_access_integrity=False)
    for number, chunk in enumerate(model):
        bare(chunk).load_state_dict(loaded[f"model{number}"])
    return common[STATE]


def _has_moments(saved: dict[str, Any]) -> bool:
    """Whether the weights had been updated; a run can be stopped before it has come to that."""
    return any("step" in group for group in saved["optimizer"]["param_groups"])


def _require_fit(folder: Path, model: list[Any], optimizer: Any | None) -> None:
    """Refuse, on all ranks, what any of them can't load.

    Raises:
        InputError: there is no checkpoint, or it is of another model.
    """
    problem = next(filter(None, _from_all(_misfit(folder, model, optimizer))), None)
    if problem is not None:
        raise InputError(
            where=str(folder),
            found=problem,
            expected="a checkpoint of this model",
            fix="Name another folder, or give this run the model that the checkpoint is of.",
        )


def _misfit(folder: Path, model: list[Any], optimizer: Any | None) -> str | None:
    """What keeps this rank from loading a checkpoint."""
    if not folder.is_dir():
        return "no such folder"
    try:
        there = FileSystemReader(folder).read_metadata().state_dict_metadata
    except (OSError, EOFError, pickle.UnpicklingError):
        return "a folder without .metadata, or with a damaged one"
    for key, shape, may_be_padded in _wanted(model):
        if key not in there:
            return f"no tensor {key}"
        found = tuple(there[key].size)
        if found != shape and not (may_be_padded and found[1:] == shape[1:]):
            return f"{key} of shape {found}, not {shape}"
        if optimizer is not None and f"{PREFIX}.param.{key}" not in there:
            return "weights alone, without the state of an optimizer"
    return None


def _wanted(model: list[Any]) -> Iterator[tuple[str, tuple[int, ...], bool]]:
    """(key, shape in the whole model, whether its first dimension is padded) of every weight of this rank."""
    for chunk in model:
        for shard in nested_values(bare(chunk).sharded_state_dict()):
            parts = nested_values({"": shard.build()}) if isinstance(shard, ShardedTensorFactory) else [shard]
            for part in parts:
                if isinstance(part, ShardedTensor):
                    yield part.key, tuple(part.global_shape), part.allow_shape_mismatch


def _agreed(value: Any) -> Any:
    """The first rank's, on all ranks: file systems show news to some before others."""
    values = [value]
    if torch.distributed.is_initialized():
        torch.distributed.broadcast_object_list(values)
    return values[0]


def _from_all(value: Any) -> list[Any]:
    if not torch.distributed.is_initialized():
        return [value]
    values = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values
