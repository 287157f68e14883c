"""The training loop: next batch, step, log, checkpoint. Everything that it needs comes as an argument.

The loss that is logged and trained is the mean over all trained tokens of the global batch, in nats per token.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from megatron_ext import platform
from megatron_ext.config import RunConfig
from megatron_ext.data.batches import Batch
from megatron_ext.training.lifecycle import StopRequest
from megatron_ext.training.optimizer import learning_rate, set_rates
from megatron_ext.training.step import forward_backward
from megatron_ext.training.tracking import Tracker

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Trainer:
    """What a run is made of on this rank."""

    config: RunConfig
    model: Any
    optimizer: Any
    batches: Callable[[int], Iterator[Batch]]
    """Step (from 0) -> this rank's micro batches of it."""
    save: Callable[[int], None]
    """Steps taken -> a complete checkpoint."""
    tracker: Tracker


def train_steps(trainer: Trainer, *, first: int, progress: Progress | None = None) -> bool:
    """Train from step `first` to the end; False if a signal stopped it (after saving).

    Raises:
        FloatingPointError: the loss or the gradient is no longer a number; no step was taken on it.
    """
    config, steps = trainer.config, trainer.config.steps
    with StopRequest() as request:
        for step in range(first, steps):
            started = time.monotonic()
            rate = learning_rate(config.schedule, step=step, steps=steps)
            loss, trained, grad_norm = train_step(trainer, step=step, rate=rate)
            seconds = time.monotonic() - started
            trainer.tracker.step(
                step=step + 1,
                tokens=(step + 1) * config.batch.tokens_per_step,
                loss=loss,
                lr=rate,
                grad_norm=grad_norm,
                trained_tokens=trained,
                tokens_per_second=round(config.batch.tokens_per_step / seconds, 1),
                seconds=round(seconds, 4),
            )
            if progress:
                progress(step + 1, steps)
            stop = any_rank(request.signal is not None)
            if stop or (step + 1) % config.checkpoint.every == 0 or step + 1 == steps:
                trainer.save(step + 1)
            if stop and step + 1 < steps:
                trainer.tracker.event("stopped", step=step + 1, signal=request.signal)
                return False
    return True


def train_step(trainer: Trainer, *, step: int, rate: float) -> tuple[float, int, float]:
    """One optimizer step: (mean loss in nats per trained token, trained tokens, gradient norm)."""
    for chunk in trainer.model:
        chunk.zero_grad_buffer()
    trainer.optimizer.zero_grad()
    losses = forward_backward(trainer.model, trainer.batches(step), trainer.config, forward_only=False)
    loss, trained = losses.mean, losses.trained
    if not math.isfinite(loss):
        raise FloatingPointError(f"step {step + 1}: the loss is {loss}. {_where(trainer.config, step)}")
    set_rates(trainer.optimizer, rate=rate, weight_decay=trainer.config.optimizer.weight_decay)
    updated, grad_norm, _zeros = trainer.optimizer.step()
    if not updated or not math.isfinite(grad_norm):
        raise FloatingPointError(f"step {step + 1}: the gradient norm is {grad_norm}. {_where(trainer.config, step)}")
    return loss, trained, float(grad_norm)


def any_rank(flag: bool) -> bool:
    """Whether the flag is up on any rank: all ranks get the same answer, so all leave the loop at the same step."""
    if torch.distributed.get_world_size() == 1:
        return flag
    value = torch.tensor(int(flag), device=platform.device())
    torch.distributed.all_reduce(value, op=torch.distributed.ReduceOp.MAX)
    return bool(value.item())


def _where(config: RunConfig, step: int) -> str:
    first = step * config.batch.global_batch
    return f"Its samples are {first} to {first + config.batch.global_batch - 1}; the last checkpoint is intact."
