"""Megatron-core's distributed AdamW, and its learning rate as a pure function of the step.

No scheduler's state is kept in a checkpoint: the config of the run that goes on always decides the learning rate.
"""

from typing import Any

import torch
from megatron.core.optimizer import OptimizerConfig as CoreOptimizerConfig
from megatron.core.optimizer import get_megatron_optimizer

from megatron_ext.config import OptimizerConfig, RunConfig


def build_optimizer(config: RunConfig, model: list[Any]) -> Any:
    """The optimizer of chunks that are wrapped in Megatron-core's DistributedDataParallel."""
    settings = config.optimizer
    bf16 = config.precision != "fp32"
    core = CoreOptimizerConfig(
        optimizer="adam",
        # Of no effect: every step sets its own (`set_rates`). They are part of the name by which a newer Megatron-core
        # knows a group again in a checkpoint, so they must not follow the schedule.
        lr=1.0,
        min_lr=0.0,
        weight_decay=settings.weight_decay,
        adam_beta1=settings.beta1,
        adam_beta2=settings.beta2,
        adam_eps=settings.epsilon,
        clip_grad=settings.clip_grad,
        use_distributed_optimizer=True,
        overlap_param_gather=config.layout.overlap,
        bf16=bf16,
        params_dtype=torch.bfloat16 if bf16 else torch.float32,
    )
    return get_megatron_optimizer(core, model)


def set_rates(optimizer: Any, settings: OptimizerConfig, *, rate: float) -> None:
    """Give every group what this start's config says, whatever a checkpoint has brought along.

    Norms and biases keep their multiplier of 0 for the weight decay.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_mult", 1.0)
        group["weight_decay"] = settings.weight_decay * group.get("wd_mult", 1.0)
        group["betas"] = (settings.beta1, settings.beta2)
        group["eps"] = settings.epsilon
