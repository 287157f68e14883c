"""First weights that depend on the seed and a weight's name only, so that every layout starts from the same model.

Each matrix is drawn whole, by a generator of its own, and a rank keeps its part: tensor, pipeline or interleaved, the
model is the same. Megatron-core's own initialisation draws from one stream a stage, so that its layouts differ.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from megatron.core.dist_checkpointing import ShardedTensor
from megatron.core.dist_checkpointing.mapping import ShardedTensorFactory

from data_tools.permutation import keyed_hash
from megatron_ext.config import ModelConfig

ADDED_TO_THE_RESIDUAL = ("linear_proj.weight", "linear_fc2.weight")
VOCABULARY = ("word_embeddings.weight", "output_layer.weight")


@torch.no_grad()
def initialise(chunk: Any, model: ModelConfig, *, seed: int) -> None:
    """Draw the weights of one chunk of a model.

    Norms are ones. Matrices are normal with the deviation `init_std`; those that add to the residual stream with
    init_std / sqrt(2 layers). Rows of the embedding beyond the vocabulary are zero.

    Args:
        chunk: GPTModel, not yet wrapped.
        model: its sizes.
        seed: of the run.

    Source of the scaled deviation: Radford et al. 2019 (GPT-2), section 2.3; Megatron-core's default too.
    """
    for part in _parts(chunk.sharded_state_dict()):
        name = part.key
        if "norm" in name:
            part.data.fill_(1.0)
            continue
        # Layers are stacked in front of a checkpoint's tensors: their number is no dimension of the matrix.
        layer = part.global_offset[: part.prepend_axis_num]
        shape, offset = part.global_shape[part.prepend_axis_num :], part.global_offset[part.prepend_axis_num :]
        whole = _draw(shape, name, layer, model, seed=seed, device=part.data.device)
        window = tuple(slice(start, start + size) for start, size in zip(offset, part.data.shape, strict=True))
        part.data.copy_(whole[window])


def _draw(
    shape: tuple[int, ...], name: str, layer: tuple[int, ...], model: ModelConfig, *, seed: int, device: torch.device
) -> torch.Tensor:
    generator = torch.Generator(device).manual_seed(int.from_bytes(keyed_hash(seed, name, *layer)) >> 1)
    std = model.init_std
    if name.endswith(ADDED_TO_THE_RESIDUAL):
        std /= math.sqrt(2 * model.layers)
    rows = min(shape[0], model.vocabulary) if name.endswith(VOCABULARY) else shape[0]
    whole = torch.zeros(shape, device=device)
    whole[:rows] = torch.randn(rows, *shape[1:], generator=generator, device=device) * std
    return whole


def _parts(state: Any) -> Iterator[ShardedTensor]:
    """The tensors of a sharded state dict; what is stored in several pieces, piece by piece."""
    if isinstance(state, ShardedTensorFactory):
        state = state.build()
    if isinstance(state, ShardedTensor):
        yield state
    elif isinstance(state, dict | list):
        for value in state.values() if isinstance(state, dict) else state:
            yield from _parts(value)
