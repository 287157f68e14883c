"""The training loop: next batch, step, log, checkpoint. Everything that it needs comes as an argument.

The loss that is logged and trained is the mean over all trained tokens of the global batch, in nats per token.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.pipeline_parallel import get_forward_backward_func
from torch import Tensor

from megatron_ext import platform
from megatron_ext.config import RunConfig
from megatron_ext.data.batches import Batch
from megatron_ext.training.lifecycle import StopRequest
from megatron_ext.training.optimizer import learning_rate, set_rates
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
    trainer.model.zero_grad_buffer()
    trainer.optimizer.zero_grad()
    loss, trained = forward_backward(trainer.model, trainer.batches(step), trainer.config, forward_only=False)
    if not math.isfinite(loss):
        raise FloatingPointError(f"step {step + 1}: the loss is {loss}. {_where(trainer.config, step)}")
    set_rates(trainer.optimizer, rate=rate, weight_decay=trainer.config.optimizer.weight_decay)
    updated, grad_norm, _zeros = trainer.optimizer.step()
    if not updated or not math.isfinite(grad_norm):
        raise FloatingPointError(f"step {step + 1}: the gradient norm is {grad_norm}. {_where(trainer.config, step)}")
    return loss, trained, float(grad_norm)


def forward_backward(
    model: Any, batches: Iterator[Batch], config: RunConfig, *, forward_only: bool
) -> tuple[float, int]:
    """Megatron-core's schedule over the micro batches of all ranks: (mean loss, trained tokens), equal on all."""
    listed = list(batches)
    results = get_forward_backward_func()(
        forward_step_func=_forward_step,
        data_iterator=iter(listed),
        model=model,
        num_microbatches=len(listed),
        seq_length=config.batch.sequence_length,
        micro_batch_size=config.batch.micro_batch,
        forward_only=forward_only,
    )
    sums = torch.zeros(2, dtype=torch.float64, device=platform.device())
    # Every tensor rank of the last stage holds the same loss: one of them speaks.
    if parallel_state.is_pipeline_last_stage() and parallel_state.get_tensor_model_parallel_rank() == 0:
        for result in results:
            sums += result["sums"].double()
    torch.distributed.all_reduce(sums)
    loss_sum, trained = sums.tolist()
    return loss_sum / max(1.0, trained), int(trained)


def any_rank(flag: bool) -> bool:
    """Whether the flag is up on any rank: all ranks get the same answer, so all leave the loop at the same step."""
    if torch.distributed.get_world_size() == 1:
        return flag
    value = torch.tensor(int(flag), device=platform.device())
    torch.distributed.all_reduce(value, op=torch.distributed.ReduceOp.MAX)
    return bool(value.item())


def _forward_step(batches: Iterator[Batch], model: Any) -> tuple[Tensor, Callable[[Tensor], tuple]]:
    batch = next(batches)
    place = platform.device()
    losses = model(
        batch.tokens_RS.to(place), batch.positions_RS.to(place), None, labels=batch.labels_RS.to(place)
    )  # fmt: skip
    return losses, partial(_loss_of, batch.loss_mask_RS.to(place))


def _loss_of(loss_mask_RS: Tensor, losses_RS: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    loss = (losses_RS.float() * loss_mask_RS).sum()
    trained = loss_mask_RS.sum()
    return loss, trained.int(), {"sums": torch.stack([loss.detach(), trained])}


def _where(config: RunConfig, step: int) -> str:
    first = step * config.batch.global_batch
    return f"Its samples are {first} to {first + config.batch.global_batch - 1}; the last checkpoint is intact."
