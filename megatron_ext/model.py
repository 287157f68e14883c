"""A model's sizes to Megatron-core's GPTModel: Llama 3, with per-head QK-norm where asked for.

Without Transformer Engine the stock local layers can't run under sequence parallelism (their norm) and materialise
sequence x sequence scores (their attention). Ours take their place: `Norm` and `Attention`.

Shape suffixes: S positions, B rows, H query heads of this rank, G key-value heads of this rank, D head size, N hidden.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor

from megatron_ext.config import LayoutConfig, ModelConfig
from megatron_ext.platform import has_gpu
from megatron_ext.rotary import Rotary

VOCABULARY_MULTIPLE = 128
"""The embedding is padded to a multiple of this times the tensor ranks: whole shards, and fast matrix products."""


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
    """Causal attention with grouped keys and values, by torch's fused kernel; memory grows with S, not S x S."""

    def __init__(self, config: TransformerConfig, layer_number: int, *_args: Any, **_kwargs: Any):
        super().__init__()
        self.dropout = config.attention_dropout

    def forward(
        self,
        query_SBHD: Tensor,
        key_SBGD: Tensor,
        value_SBGD: Tensor,
        attention_mask: Tensor | None,
        **_unused: Any,
    ) -> Tensor:
        """Shape (S, B, H x D). Rows are padded at their end only, so causality alone keeps padding out of sight."""
        query, key, value = (x.permute(1, 2, 0, 3) for x in (query_SBHD, key_SBGD, value_SBGD))
        dropout = self.dropout if self.training else 0.0
        if key.shape[1] != query.shape[1]:
            groups = query.shape[1] // key.shape[1]
            key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        context_BHSD = F.scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=dropout)
        return context_BHSD.permute(2, 0, 1, 3).flatten(2)


def build_model(model: ModelConfig, *, sequence_length: int, layout: LayoutConfig, precision: str) -> GPTModel:
    """This rank's part of the model, with fresh weights.

    The caller has started the platform. The embedding is padded; padded entries are never a label and have no
    probability, so that the loss doesn't depend on how many there are.
    """
    config = transformer_config(model, layout=layout, precision=precision)
    built = GPTModel(
        config=config,
        transformer_layer_spec=_block(config),
        vocab_size=padded_vocabulary(model.vocabulary, layout.tensor),
        max_sequence_length=sequence_length,
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
        parallel_output=True,
        share_embeddings_and_output_weights=model.tied_embeddings,
        position_embedding_type="rope",
    )
    built.rotary_pos_emb = Rotary(model)
    if built.post_process:
        built.output_layer.register_forward_hook(partial(_hide_padding, vocabulary=model.vocabulary))
    return built.cuda(torch.cuda.current_device()) if has_gpu() else built


def _hide_padding(_layer: Any, _inputs: Any, output: tuple[Tensor, Any], *, vocabulary: int) -> None:
    logits = output[0]
    kept = vocabulary - parallel_state.get_tensor_model_parallel_rank() * logits.shape[-1]
    if kept < logits.shape[-1]:
        logits[..., max(0, kept) :] = float("-inf")


def padded_vocabulary(vocabulary: int, tensor: int) -> int:
    multiple = VOCABULARY_MULTIPLE * tensor
    return -(-vocabulary // multiple) * multiple


def transformer_config(model: ModelConfig, *, layout: LayoutConfig, precision: str) -> TransformerConfig:
    """Our few sizes as Megatron-core's settings."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return TransformerConfig(
        num_layers=model.layers,
        hidden_size=model.hidden,
        ffn_hidden_size=model.ffn,
        num_attention_heads=model.heads,
        num_query_groups=model.kv_heads,
        kv_channels=model.head_size,
        normalization="RMSNorm",
        layernorm_epsilon=model.norm_epsilon,
        qk_layernorm=model.qk_norm,
        gated_linear_unit=True,
        activation_func=F.silu,
        add_bias_linear=False,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        init_method_std=model.init_std,
        use_cpu_initialization=True,
        params_dtype=dtype,
        pipeline_dtype=dtype,
        bf16=precision == "bf16",
        tensor_model_parallel_size=layout.tensor,
        pipeline_model_parallel_size=layout.pipeline,
        # The mean is over all trained tokens of the global batch, however they fall on ranks and micro batches.
        calculate_per_token_loss=True,
        gradient_accumulation_fusion=False,
        masked_softmax_fusion=False,
        bias_activation_fusion=False,
        bias_dropout_fusion=False,
        apply_rope_fusion=False,
        persist_layer_norm=False,
    )


def _block(config: TransformerConfig) -> TransformerBlockSubmodules:
    layer = get_gpt_layer_local_spec(qk_layernorm=config.qk_layernorm, normalization="RMSNorm")
    parts = layer.submodules
    parts.input_layernorm = parts.pre_mlp_layernorm = Norm
    attention = parts.self_attention.submodules
    attention.core_attention = Attention
    if config.qk_layernorm:
        attention.q_layernorm = attention.k_layernorm = Norm
    count = get_num_layers_to_build(config)
    return TransformerBlockSubmodules(layer_specs=[ModuleSpec(layer.module, submodules=parts)] * count, layer_norm=Norm)
