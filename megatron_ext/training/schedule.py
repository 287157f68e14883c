"""The learning rate of every step: a function of the config and the step, and of nothing that a checkpoint remembers.

Progress is counted in samples, so that a ramp of the batch size bends neither the warm-up nor the fall. With a constant
batch this is the usual formula in steps: rate of step s in a warm-up of W steps is `peak (s + 1) / W`, and afterwards
progress is `(s - W) / (steps - 1 - W)`.

Promises, each with a test: never above the peak, never rising after the warm-up, and a rate that decays is exactly
`end_lr` in the last step. No torch.
"""

import math

from data_tools.errors import InputError
from megatron_ext.config import Duration, RunConfig

ROUNDING = 1e-9
"""Shares such as 0.9 and 0.1 may add up to a little more than the run."""


def learning_rate(config: RunConfig, step: int) -> float:
    """Learning rate of one optimizer step.

    Linear warm-up to the peak, reached in the step that ends it. The fall then begins at the peak and ends, in the last
    step, at `end_lr`: `end + (peak - end) (1 + cos(pi progress)) / 2` for cosine, a straight line for linear, and for
    wsd a straight line over the cooldown. A fall that has a single step stays at the peak.

    Args:
        config: of this start of the run.
        step: steps already taken; 0 for the first. A warm-up does not begin at zero, which would waste a step.
    """
    schedule, batch, samples = config.schedule, config.batch, config.samples
    warmup = _warmup(config)
    reached = min(batch.first_sample(step + 1), samples)
    if reached < warmup:
        return schedule.peak_lr * reached / warmup
    if schedule.decay == "constant":
        return schedule.peak_lr
    begin = samples - _cooldown(config) if schedule.decay == "wsd" else warmup
    length = batch.first_sample(config.steps - 1) - begin
    progress = min(1.0, max(0.0, (batch.first_sample(step) - begin) / length)) if length > 0 else 0.0
    left = (1 + math.cos(math.pi * progress)) / 2 if schedule.decay == "cosine" else 1 - progress
    return min(schedule.peak_lr, schedule.end_lr + (schedule.peak_lr - schedule.end_lr) * left)


def require_schedule(config: RunConfig) -> None:
    """Refuse a schedule that is longer than its run.

    Raises:
        InputError: warm-up and cooldown take more than all samples.
    """
    parts = {"warmup": _warmup(config)}
    if config.schedule.decay == "wsd":
        parts["cooldown"] = _cooldown(config)
    needed = sum(parts.values())
    if needed <= config.samples * (1 + ROUNDING):
        return
    row = config.batch.sequence_length
    raise InputError(
        where=f"schedule.{' and schedule.'.join(parts)}",
        found=f"{math.ceil(needed) * row} tokens",
        expected=f"at most the run's {config.samples * row} tokens ({config.steps} steps)",
        fix=f"Shorten {' or '.join(parts)}, or train on more tokens.",
    )


def _warmup(config: RunConfig) -> float:
    duration = config.schedule.warmup
    if duration.steps is not None:
        return config.batch.first_sample(duration.steps)
    return _samples(duration, config)


def _cooldown(config: RunConfig) -> float:
    duration = config.schedule.cooldown
    if duration.steps is None:
        return _samples(duration, config)
    before = config.steps - duration.steps
    if before < 0:  # longer than the run, which `require_schedule` refuses
        return config.samples - before * config.batch.global_batch
    return config.samples - config.batch.first_sample(before)


def _samples(duration: Duration, config: RunConfig) -> float:
    if duration.tokens is not None:
        return duration.tokens / config.batch.sequence_length
    return (duration.share or 0.0) * config.samples
