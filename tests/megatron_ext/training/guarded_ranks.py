"""A rank of test_skips.py: two equal models, one stepped by Megatron-core's own step, the other by guarded_step.

Called with the precision, the largest norm, and a file, into which the first rank writes what it found.
"""

import json
import math
import sys
from pathlib import Path

import torch
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.transformer_config import TransformerConfig

from megatron_ext import platform
from megatron_ext.config import LayoutConfig
from megatron_ext.training.skips import guarded_step

WIDTH = 8


class Model(MegatronModule):
    def __init__(self, config):
        super().__init__(config)
        self.first = torch.nn.Linear(WIDTH, 3 * WIDTH, dtype=config.params_dtype)
        self.second = torch.nn.Linear(3 * WIDTH, 1, dtype=config.params_dtype)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


class Twin:
    """A model with its distributed optimizer."""

    def __init__(self, bf16, clip):
        from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer

        dtype = torch.bfloat16 if bf16 else torch.float32
        config = TransformerConfig(
            num_layers=1, hidden_size=WIDTH, num_attention_heads=1, bf16=bf16, params_dtype=dtype
        )  # fmt: skip
        torch.manual_seed(5)
        settings = DistributedDataParallelConfig(use_distributed_optimizer=True, grad_reduce_in_fp32=True)
        self.model = DistributedDataParallel(config=config, ddp_config=settings, module=Model(config))
        self.optimizer = get_megatron_optimizer(
            OptimizerConfig(optimizer="adam", lr=0.01, clip_grad=clip, use_distributed_optimizer=True, bf16=bf16,
                            params_dtype=dtype), [self.model]
        )  # fmt: skip
        self.dtype = dtype

    def gradients(self, step, *, poison=None):
        self.model.zero_grad_buffer()
        self.optimizer.zero_grad()
        rank, last = torch.distributed.get_rank(), torch.distributed.get_world_size() - 1
        noise = torch.Generator().manual_seed(100 * step + rank)
        self.model(torch.randn(16, WIDTH, generator=noise).to(self.dtype)).float().square().sum().backward()
        if poison is not None and rank == last:
            self.model.module.second.weight.main_grad.view(-1)[3] = poison
        self.model.finish_grad_sync()

    def everything(self):
        """Weights, main weights, moments and step counts of this rank, flat."""
        core = self.optimizer.chained_optimizers[0].optimizer
        held = [parameter.detach().float().flatten() for parameter in self.model.parameters()]
        for group in core.param_groups:
            held.append(torch.tensor([float(group.get("step", 0))]))
            for parameter in group["params"]:
                held += [parameter.detach().float().flatten()]
                held += [value.float().flatten() for value in core.state[parameter].values()]
        return torch.cat(held)


def main(precision, clip, output):
    clip = float(clip)
    platform.start(LayoutConfig(), seed=1)
    own, guarded = (Twin(precision == "bf16", clip) for _ in range(2))
    same, norms, refused = [], [], []
    for step in range(6):
        if step >= 2:  # and once moments exist, gradients that are no numbers
            before = guarded.everything()
            guarded.gradients(step, poison=[math.nan, math.inf, -math.inf, math.nan][step - 2])
            updated, norm = guarded_step(guarded.optimizer, clip)
            refused.append(not updated and not math.isfinite(norm) and torch.equal(before, guarded.everything()))
        for twin in (own, guarded):
            twin.gradients(step)
        before = own.everything()
        updated, expected, _zeros = own.optimizer.step()
        found = guarded_step(guarded.optimizer, clip)
        same.append(found == (updated, float(expected)) and torch.equal(own.everything(), guarded.everything()))
        same.append(not torch.equal(before, own.everything()))
        norms.append(found[1])
    verdicts = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(verdicts, {"same": all(same), "refused": all(refused), "norms": norms})
    if platform.is_first_rank():
        Path(output).write_text(json.dumps(verdicts))
    platform.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
