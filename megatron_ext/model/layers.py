"""A norm and an attention for Megatron-core's local layers, which an ordinary `pip install` is fast with.

Without Transformer Engine the stock norm can't run under sequence parallelism, and the stock attention materialises
sequence x sequence scores. Ours take their place.

Shape suffixes: S positions, R rows, H query heads of this rank, G key-value heads of this rank, D head size, N hidden,
T all tokens of a micro batch, row after row.
"""

import importlib.util
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor

VARIABLE_LENGTHS = importlib.util.find_spec("torch.nn.attention.varlen") is not None
"""From torch 2.10 on."""
CAUSAL = (-1, 0)
HALF = (torch.bfloat16, torch.float16)


class Norm(torch.nn.Module):
    """RMSNorm over the last dimension; its weight is marked for gradient reduction under sequence parallelism."""

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = 1e-5, **_unused: Any):
        super().__init__()
        self.eps = eps
        self.weight = torch.nn.Parameter(torch.ones(hidden_size, dtype=config.params_dtype))
        self.weight.sequence_parallel = config.sequence_parallel

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class Attention(torch.nn.Module):
    """Causal attention with grouped keys and values, by torch's fused kernels; memory grows with S, not S x S."""

    def __init__(self, config: TransformerConfig, layer_number: int, *_args: Any, **_kwargs: Any):
        super().__init__()

    def forward(
        self,
        query_SRHD: Tensor,
        key_SRGD: Tensor,
        value_SRGD: Tensor,
        attention_mask: Tensor | None,
        **_unused: Any,
    ) -> Tensor:
        """Attention within stretches.

        Args:
            query_SRHD, key_SRGD, value_SRGD: of this rank's heads.
            attention_mask: where stretches begin and end in the T tokens of the micro batch, rising from 0 to T,
                int32; a stretch lies within a row, and nothing attends out of it. None: every row is one stretch.
                (Megatron-core hands this argument on unread, whatever it is.)

        Returns:
            Shape (S, R, H x D).
        """
        query, key, value = (x.transpose(0, 1) for x in (query_SRHD, key_SRGD, value_SRGD))
        if attention_mask is None:
            context_RSHD = _causal(query, key, value)
        elif VARIABLE_LENGTHS and query.is_cuda and query.dtype in HALF:
            context_RSHD = _by_variable_lengths(query, key, value, attention_mask)
        else:
            context_RSHD = _stretch_by_stretch(query, key, value, attention_mask)
        return context_RSHD.transpose(0, 1).flatten(2)


def _causal(query_RSHD: Tensor, key_RSGD: Tensor, value_RSGD: Tensor) -> Tensor:
    query, key, value = (x.transpose(1, 2) for x in (query_RSHD, key_RSGD, value_RSGD))
    grouped = key.shape[1] != query.shape[1]
    if grouped and not query.is_cuda:  # the CPU's fused kernel knows equal heads only
        share = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(share, dim=1), value.repeat_interleave(share, dim=1)
        grouped = False
    return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped).transpose(1, 2)


def _by_variable_lengths(query_RSHD: Tensor, key_RSGD: Tensor, value_RSGD: Tensor, bounds: Tensor) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn  # loads torch's compiler, which takes seconds

    query, key, value = (x.flatten(0, 1) for x in (query_RSHD, key_RSGD, value_RSGD))
    longest = query_RSHD.shape[1]  # an upper bound: the true one would have to wait for the GPU
    grouped = key.shape[1] != query.shape[1]
    context_THD = varlen_attn(
        query, key, value, bounds, bounds, longest, longest, window_size=CAUSAL, enable_gqa=grouped
    )
    return context_THD.view(query_RSHD.shape)


def _stretch_by_stretch(query_RSHD: Tensor, key_RSGD: Tensor, value_RSGD: Tensor, bounds: Tensor) -> Tensor:
    """Where no kernel for variable lengths is: on the CPU, and in float32."""
    flat = [x.flatten(0, 1) for x in (query_RSHD, key_RSGD, value_RSGD)]
    parts = [_causal(*(x[None, first:last] for x in flat))[0] for first, last in pairwise(bounds.tolist())]
    return torch.cat(parts).view(query_RSHD.shape)
