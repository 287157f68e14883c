"""Rotary positions of a model: Llama 3's scaling, and positions that start anew within a row.

`Rotary` takes the place of GPTModel's `rotary_pos_emb`: called alike and answering alike, an angle for each position
and component of a head, which the attention layers turn into rotations of (first half, second half). Angles are
float32 whatever the model's precision. Nothing here is trained, and nothing is in a checkpoint.

Shape suffixes: S positions, R rows, D head size.
"""

import math
from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.models.common.embeddings.rotary_pos_embedding import RotaryEmbedding, get_pos_emb_on_this_cp_rank
from torch import Tensor

from megatron_ext.config import ModelConfig
from megatron_ext.platform import device


class Rotary(torch.nn.Module):
    """Angles of every position."""

    positions_RS: Tensor | None = None
    """Position of each token of whole rows, where it is not its place in the row. Set before each forward pass."""

    get_rotary_seq_len = RotaryEmbedding.get_rotary_seq_len  # it asks nothing of the instance

    def __init__(self, model: ModelConfig):
        super().__init__()
        # Not a buffer: casting the model to bfloat16 would cast it too.
        self.frequencies = frequencies(model).to(device())

    def forward(
        self,
        max_seq_len: int,
        offset: int = 0,
        packed_seq: bool = False,
        cp_group: torch.distributed.ProcessGroup | None = None,
        **_unused: Any,
    ) -> Tensor:
        """Shape (S, 1, 1, D), or (S, R, 1, D) where positions are set; under context parallelism this rank's S."""
        positions_RS = self.positions_RS
        if positions_RS is None:
            positions_RS = torch.arange(offset, offset + max_seq_len, device=self.frequencies.device)[None]
        half_SR1D = positions_RS.T[:, :, None, None].float() * self.frequencies
        angles_SR1D = torch.cat((half_SR1D, half_SR1D), dim=-1)
        group = cp_group or parallel_state.get_context_parallel_group(check_initialized=False)
        if group is not None and group.size() > 1 and not packed_seq:
            return get_pos_emb_on_this_cp_rank(angles_SR1D, 0, group)
        return angles_SR1D


def frequencies(model: ModelConfig) -> Tensor:
    """Angle per position of each pair of components, shape (D / 2), from fast to slow.

    With scaling, rotations that make fewer than `low_frequency` turns in the original context are slowed by `factor`,
    those that make more than `high_frequency` are left alone, and in between the speed is blended.
    """
    exponents = torch.arange(0, model.head_size, 2, dtype=torch.float32) / model.head_size
    frequencies = 1.0 / model.rope_base**exponents
    scaling = model.rope_scaling
    if scaling is None:
        return frequencies
    turns = frequencies * scaling.original_context / (2 * math.pi)
    kept = ((turns - scaling.low_frequency) / (scaling.high_frequency - scaling.low_frequency)).clamp(0.0, 1.0)
    return frequencies * (kept + (1.0 - kept) / scaling.factor)
