"""Held-out loss of ensembles: the mean of the members' logits, for one member, two, and so on.

A member's logits are added to those before it where they leave the model, so that the model's own loss, in any layout,
is that of the ensemble so far. Source: megadocs, ensembles (mean of logits, not of probabilities).
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from data_tools.errors import InputError
from megatron_ext import platform
from megatron_ext.checkpoint.folders import require_latest
from megatron_ext.checkpoint.loading import bare, load
from megatron_ext.config import RunConfig
from megatron_ext.data.batches import Batch
from megatron_ext.evaluation.inputs import check_inputs
from megatron_ext.evaluation.logits import changed_logits
from megatron_ext.evaluation.perplexity import opened, share, windows
from megatron_ext.training.metrics import StepLoss
from megatron_ext.training.step import forward_backward

LOGITS_AT_ONCE = 2 << 30
"""Bytes of summed logits that are kept between members."""

HELD_SHARE = 0.5
"""Of the free memory, that members' weights may take; more are read from their checkpoints again and again."""


def evaluate_ensemble(
    runs: list[Path], heldout: Path, *, progress: Callable[[int, int], None] | None = None
) -> list[float]:
    """Losses of the ensembles of the first K runs, for every K. Called by every rank.

    Args:
        runs: run folders of one model and layout, in the order in which they join.
        heldout: corpus folder.
        progress: called with (passes done, passes in all).

    Returns:
        Nats per token, of K = 1, 2, ...

    Raises:
        InputError: the runs differ in model or layout, or one is missing.
    """
    configs, corpus = check_inputs(runs, heldout)
    if len({config.model for config in configs}) != 1 or len({config.batch.sequence_length for config in configs}) != 1:
        raise InputError(
            where="runs", found="different models or sequence lengths", expected="members of one kind",
            fix="Name runs that differ in their seed only.",
        )  # fmt: skip
    config = configs[0]
    platform.start(config.layout, seed=config.seed)
    try:
        rows = list(windows(corpus, config.batch.sequence_length))
        members, chunks = _Members(runs, config), list(_chunks(list(share(rows, config)), config))
        sums, trained = [0.0] * len(runs), 0
        for number, chunk in enumerate(chunks):
            logits: list[Tensor] = []
            for place in range(len(runs)):
                found = _joined(members.put(place), chunk, config, logits, member=place)
                sums[place] += found.loss * found.trained
                if progress and platform.is_first_rank():
                    progress(number * len(runs) + place + 1, len(chunks) * len(runs))
            trained += found.trained
        return [total / trained for total in sums]
    finally:
        platform.stop()


class _Members:
    """One model in this rank's memory, with any member's weights put into it."""

    def __init__(self, runs: list[Path], config: RunConfig):
        self._runs, self._config = runs, config
        self._model: list[Any] = opened(runs[0], config)
        size = sum(tensor.numel() * tensor.element_size() for chunk in self._model for tensor in chunk.parameters())
        free = psutil.virtual_memory().available / max(1, torch.distributed.get_world_size())
        self._holds = size * len(runs) < HELD_SHARE * free
        self._held: dict[int, list[dict[str, Any]]] = {}

    def put(self, member: int) -> list[Any]:
        """The model with this member's weights."""
        if member in self._held:
            for chunk, state in zip(self._model, self._held[member], strict=True):
                bare(chunk).load_state_dict(state)
            return self._model
        load(require_latest(self._runs[member]), model=self._model, optimizer=None)
        if self._holds:
            self._held[member] = [_copied(bare(chunk).state_dict()) for chunk in self._model]
        return self._model


def _joined(
    model: list[Any], batches: list[Batch], config: RunConfig, logits: list[Tensor], *, member: int
) -> StepLoss:
    """The loss of the members so far; `logits`: their sums for each micro batch, to which this one's are added."""
    number = 0

    def add(own: Tensor) -> Tensor:
        nonlocal number
        if member == 0:
            logits.append(own.clone())
        else:
            logits[number] += own
        number += 1
        return logits[number - 1] / (member + 1)

    with torch.no_grad(), changed_logits(model, add):
        return forward_backward(model, batches, config, forward_only=True)


def _chunks(batches: list[Batch], config: RunConfig) -> Iterator[list[Batch]]:
    """Micro batches whose logits fit into LOGITS_AT_ONCE."""
    width = math.ceil(config.model.vocabulary / config.layout.tensor)
    size = 4 * width * config.batch.sequence_length * config.batch.micro_batch
    step = max(1, LOGITS_AT_ONCE // size)
    for start in range(0, len(batches), step):
        yield batches[start : start + step]


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value.detach().cpu().clone() if isinstance(value, Tensor) else value for name, value in state.items()}
