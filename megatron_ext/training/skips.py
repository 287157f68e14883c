"""Steps that are left out: what is not a number never reaches the weights, is reported, and ends a run if it recurs.

A loss or a gradient that is NaN or infinite takes its samples with it: the plan goes on at the next ones.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch


class TooManySkipsError(FloatingPointError):
    """More steps were left out than `limits.skipped_steps` allows. The command line shows it and exits with 1."""


@dataclass
class Skips:
    """The steps that a run has left out, those before a restart included: `steps` goes into every checkpoint."""

    limit: int
    """Most steps of a run that may be left out."""
    steps: list[int] = field(default_factory=list)
    """Counted from 1, as in events."""

    def add(self, step: int, *, loss: float, grad_norm: float, samples: range) -> dict[str, Any]:
        """Note a step that was left out; returns what its event says.

        Args:
            step: counted from 1.
            loss: mean loss of the step.
            grad_norm: NaN where the loss already was none, so that no norm was taken.
            samples: of the plan, that the step would have trained on.
        """
        self.steps = [*self.steps, step]  # a new list: the old one may be on its way into a checkpoint
        return {
            "step": step, "loss": loss, "grad_norm": grad_norm, "first_sample": samples.start, "samples": len(samples),
            "skipped_steps": len(self.steps),
        }  # fmt: skip

    def require_few(self) -> None:
        """Go on only while few steps are left out; to be called once the event is written.

        Raises:
            TooManySkipsError: more than the limit.
        """
        if len(self.steps) <= self.limit:
            return
        raise TooManySkipsError(
            f"step {self.steps[-1]}: found {len(self.steps)} steps whose loss or gradient is not a number (steps "
            f"{', '.join(map(str, self.steps))}), expected at most {self.limit} in a run (limits.skipped_steps).\n"
            "  No weight was changed by them, and the last checkpoint is intact. Look at the events `skipped` for "
            "their samples; lower schedule.peak_lr, lengthen schedule.warmup, or raise the limit."
        )


@torch.no_grad()
def guarded_step(optimizer: Any, clip: float) -> tuple[bool, float]:
    """Megatron-core's optimizer step, taken only if the norm of the whole gradient is a number.

    The same parts in the same order as its own `step`, hence the same bits, with a look at the norm between computing
    it and clipping by it. The norm is summed over all ranks, so all of them decide alike. If the step is left out,
    weights, moments and step counts are as before.

    Args:
        optimizer: Megatron-core's, of a model whose gradients are reduced.
        clip: largest norm of the whole gradient; 0 clips nothing.

    Returns:
        Whether the weights were updated, and the norm of the gradient before it was clipped.
    """
    from megatron.core.optimizer.clip_grads import clip_grad_by_total_norm_fp32

    if optimizer.prepare_grads():
        return False, math.nan
    norm = optimizer.get_grad_norm()  # a float; with Transformer Engine and a newer Megatron-core a tensor on the GPU
    grad_norm = float(norm)
    if not math.isfinite(grad_norm):
        return False, grad_norm
    parts = getattr(optimizer, "chained_optimizers", [optimizer])
    for part in parts if clip > 0 else []:
        if parameters := part.get_parameters():
            clip_grad_by_total_norm_fp32(
                parameters,
                max_norm=clip,
                total_norm=norm,
                use_decoupled_grad=part.config.use_precision_aware_optimizer_no_fp8_or_ds_fp8,
            )
    return optimizer.step_with_ready_grads(), grad_norm
