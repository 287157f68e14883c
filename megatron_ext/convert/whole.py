"""A whole model in this one process: Megatron-core gathers it from whatever layout its checkpoint was written in.

The one place where conversions meet Megatron-core.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megatron_ext import platform
from megatron_ext.checkpoint.folders import require_latest
from megatron_ext.config import LayoutConfig
from megatron_ext.convert.record import ModelRecord

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def whole_model(record: ModelRecord) -> Iterator[list[Any]]:
    """The model in one chunk, its weights not yet set, as long as the block lasts.

    Its process group holds this process alone.
    """
    platform.start(LayoutConfig(), seed=0)
    try:
        with _quiet():
            from megatron_ext.model import build_model

            model = build_model(
                record.model,
                sequence_length=record.context,
                layout=LayoutConfig(),
                precision=record.precision,
                plain=True,
            )
        yield model
    finally:
        platform.stop()


def weights_of(model: list[Any]) -> "dict[str, Tensor]":
    """Name -> each weight, to be read or written in place."""
    return {name: weight.detach() for name, weight in model[0].named_parameters()}


def newest(folder: Path) -> Path:
    """The newest complete checkpoint of a run or an imported model.

    Raises:
        InputError: there is none.
    """
    return require_latest(folder)


def load(model: list[Any], checkpoint: Path) -> None:
    with _quiet():
        from megatron_ext.checkpoint import loading

    loading.load(checkpoint, model, None)


def save(model: list[Any], folder: Path) -> None:
    """Write the weights as those of step 0."""
    with _quiet():
        from megatron_ext.checkpoint import saving

    saving.save(folder, step=0, model=model, optimizer=None, state={"step": 0})


def _quiet() -> warnings.catch_warnings:
    return warnings.catch_warnings(action="ignore")  # Megatron-core names all that isn't installed
