"""Megatron-core's distributed AdamW, and its learning rate as a pure function of the step.

No scheduler's state is kept in a checkpoint: the config of the run that goes on always decides the learning rate.
"""

from typing import Any

import torch
from megatron.core.optimizer import OptimizerConfig as CoreOptimizerConfig
from megatron.core.optimizer import get_megatron_optimizer

from megatron_ext.config import RunConfig


def build_optimizer(config: RunConfig, model: list[Any]) -> Any:
    """The optimizer of chunks that are wrapped in Megatron-core's DistributedDataParallel."""
    settings = config.optimizer
    bf16 = config.precision != "fp32"
    core = CoreOptimizerConfig(
        optimizer="adam",
        lr=config.schedule.peak_lr,
        min_lr=config.schedule.end_lr,
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


def set_rates(optimizer: Any, *, rate: float, weight_decay: float) -> None:
    """Learning rate and weight decay of every group; norms and biases keep their multiplier of 0 for the decay."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_mult", 1.0)
        group["weight_decay"] = weight_decay * group.get("wd_mult", 1.0)
