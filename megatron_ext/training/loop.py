"""The training loop: next batch, step, record, checkpoint. Everything that it needs comes as an argument."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from megatron_ext import platform
from megatron_ext.checkpoint.saving import Saved, Saver
from megatron_ext.checkpoint.writing import SaveFailedError
from megatron_ext.config import RunConfig
from megatron_ext.data.batches import Batch
from megatron_ext.plan.samples import SamplePlan
from megatron_ext.training.lifecycle import StopRequest, Wish
from megatron_ext.training.metrics import Metrics, StepClock, StepLoss
from megatron_ext.training.optimizer import set_rates
from megatron_ext.training.schedule import learning_rate
from megatron_ext.training.skips import Skips, guarded_step
from megatron_ext.training.spikes import LossWatch, keep_spike
from megatron_ext.training.step import forward_backward
from megatron_ext.training.tracking import Tracker
from megatron_ext.training.watchdog import Watchdog

Progress = Callable[[int, int], None]


class Observer(Protocol):
    """Looks at the model between two updates and leaves no trace in it. Every method is called by all ranks."""

    files: Sequence[Path]
    """What it writes into the run folder."""

    def look(self, step: int) -> None:
        """Called once `step` updates were made: before each further one, and after the last."""

    def sync(self) -> None:
        """What it has seen is on the disk when this returns: a checkpoint comes, and these steps never again."""

    def close(self) -> None:
        """The loop has ended, whatever the reason."""


Observe = Callable[["Trainer", int], Observer]
"""observe(trainer, step) of a run that begins, or goes on, after `step` updates."""


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """What a run is made of on this rank."""

    config: RunConfig
    plan: SamplePlan
    model: list[Any]
    """This rank's chunks, in DistributedDataParallel."""
    optimizer: Any
    batches: Callable[[int], Iterator[Batch]]
    """Step (from 0) -> this rank's micro batches of it."""
    samples: Callable[[int], Iterable[dict[str, Any]]]
    """Step (from 0) -> its samples and their documents, to be looked at when something is wrong with it."""
    saver: Saver
    tracker: Tracker
    metrics: Metrics
    skips: Skips
    losses: LossWatch
    wandb_run: str
    observers: Sequence[Observer] = ()

    def state(self, step: int) -> dict[str, Any]:
        """What a checkpoint remembers besides weights and moments."""
        samples = self.plan.samples_of(step).start
        return {
            "step": step,
            "samples": samples,
            "rows": self.plan.rows_by_phase(samples),
            "plan": self.plan.describe(),
            "wandb_run": self.wandb_run,
            "skipped": self.skips.steps,
            "recent_losses": self.losses.recent,
            "trained": dict(self.metrics.trained),
        }


def train_steps(
    trainer: Trainer,
    *,
    first: int,
    stop: int,
    request: StopRequest,
    watchdog: Watchdog,
    progress: Progress | None = None,
) -> bool:
    """Train steps first .. stop-1; False if it was asked to stop before, and has saved.

    Raises:
        TooManySkipsError: too many steps were left out.
        SaveFailedError: the last checkpoint could not be written.
    """
    clock, saver = StepClock(), trainer.saver
    for step in range(first, stop):
        _look(trainer, step, clock, watchdog)
        watchdog.alive(f"step {step + 1}")
        _take(trainer, step, clock)
        if progress:
            progress(step + 1, trainer.config.steps)
        wish = largest(request.wish)
        asked = wish == Wish.STOP
        last = asked or step + 1 == trainer.config.steps
        with clock.checkpoint():
            _finish(trainer, saver.poll)
            if last or wish == Wish.SAVE or (step + 1) % trainer.config.checkpoint.every == 0:
                watchdog.alive(f"saving step {step + 1}")
                _finish(trainer, saver.finish)
                _save(trainer, step + 1, last=last)
        if asked and step + 1 < trainer.config.steps:
            trainer.tracker.event("stopped", step=step + 1, signal=request.name)
            return False
    if stop == trainer.config.steps:
        _look(trainer, stop, clock, watchdog)
    return True


def _look(trainer: Trainer, step: int, clock: StepClock, watchdog: Watchdog) -> None:
    if trainer.observers:
        watchdog.alive(f"observers after step {step}")
        with clock.observers():
            for observer in trainer.observers:
                observer.look(step)


def _save(trainer: Trainer, step: int, *, last: bool) -> None:
    """Begin a checkpoint; wait for the last one, which must not fail."""
    for record in (trainer.tracker, *trainer.observers):
        record.sync()  # what a checkpoint covers is never trained, nor written, again
    try:
        trainer.saver.save(step, trainer.model, trainer.optimizer, trainer.state(step))
        if last:
            _note(trainer, trainer.saver.finish())
    except SaveFailedError as failure:
        trainer.tracker.event("checkpoint_failed", problem=str(failure))
        if last:
            raise


def _finish(trainer: Trainer, finished: Callable[[], Saved | None]) -> None:
    """A run goes on without a checkpoint that could not be written; its next one may succeed."""
    try:
        _note(trainer, finished())
    except SaveFailedError as failure:
        trainer.tracker.event("checkpoint_failed", problem=str(failure))


def _note(trainer: Trainer, saved: Saved | None) -> None:
    if saved is not None:
        trainer.tracker.event(
            "checkpoint", step=saved.step, seconds=round(saved.seconds, 4), stall=round(saved.stall, 4),
            bytes=saved.bytes,
        )  # fmt: skip


def _take(trainer: Trainer, step: int, clock: StepClock) -> None:
    """One optimizer step, or its omission, and its record."""
    config, number = trainer.config, step + 1
    rate = learning_rate(config, step)
    loss, updated, grad_norm = train_step(trainer, clock.waiting(trainer.batches(step)), rate=rate)
    if not updated:
        event = trainer.skips.add(number, loss=loss.loss, grad_norm=grad_norm, samples=trainer.plan.samples_of(step))
        trainer.tracker.event("skipped", **event)
        clock.lap()
        trainer.skips.require_few()
        return
    record = trainer.metrics.record(
        number, loss, clock.lap(), lr=rate, grad_norm=grad_norm, skipped=len(trainer.skips.steps),
        rows=trainer.plan.rows_before(trainer.plan.samples_of(step).stop),
    )  # fmt: skip
    trainer.tracker.step(**record)
    spike = trainer.losses.see(number, loss.loss, loss.by_source)
    if spike is not None and trainer.tracker.active:
        path = keep_spike(trainer.tracker.folder, spike, trainer.samples(step))
        trainer.tracker.event("spike", **asdict(spike), file=str(path.relative_to(trainer.tracker.folder)))


def train_step(trainer: Trainer, batches: Iterable[Batch], *, rate: float) -> tuple[StepLoss, bool, float]:
    """One optimizer step: its loss, whether the weights were updated, and the norm of its gradient.

    Nothing is updated where the loss or the gradient is not a number.
    """
    for chunk in trainer.model:
        chunk.zero_grad_buffer()
    trainer.optimizer.zero_grad()
    loss = forward_backward(trainer.model, batches, trainer.config, forward_only=False)
    if not math.isfinite(loss.loss):
        return loss, False, math.nan
    settings = trainer.config.optimizer
    set_rates(trainer.optimizer, settings, rate=rate)
    updated, grad_norm = guarded_step(trainer.optimizer, settings.clip_grad)
    return loss, updated, grad_norm


def any_rank(flag: bool) -> bool:
    """Whether the flag is up on any rank: all ranks get the same answer, so all leave the loop at the same step."""
    return bool(largest(int(flag)))


def largest(number: int) -> int:
    """The largest of the ranks' numbers, on every rank."""
    if torch.distributed.get_world_size() == 1:
        return number
    value = torch.tensor(number, device=platform.device())
    torch.distributed.all_reduce(value, op=torch.distributed.ReduceOp.MAX)
    return int(value.item())
