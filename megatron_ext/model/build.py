"""Sizes and layout to this rank's chunks of Megatron-core's GPTModel: Llama 3, with per-head QK-norm where asked for.

Transformer Engine's layers are used where it is installed and a GPU is there, otherwise Megatron-core's local ones with
the norm and attention of `layers.py`. Checkpoints of both have the same names.
"""

import importlib.util
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from megatron.core.models.gpt.gpt_layer_specs import (
    get_gpt_layer_local_spec,
    get_gpt_layer_with_transformer_engine_spec,
)
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor

from megatron_ext.config import LayoutConfig, ModelConfig
from megatron_ext.model.layers import Attention, Norm
from megatron_ext.model.rotary import Rotary
from megatron_ext.model.weights import initialise
from megatron_ext.platform import has_gpu, has_transformer_engine

VOCABULARY_MULTIPLE = 128
"""The embedding is padded to a multiple of this times the tensor ranks: whole shards, and fast matrix products."""


def build_model(
    model: ModelConfig,
    *,
    sequence_length: int,
    layout: LayoutConfig,
    precision: str,
    seed: int | None = None,
    isolated: bool = False,
    plain: bool = False,
) -> list[GPTModel]:
    """This rank's chunks of the model: one, or `layout.chunks` of an interleaved pipeline.

    The caller has started the platform. The embedding is padded; padded entries are never a label and have no
    probability, so that the loss doesn't depend on how many there are.

    Args:
        model: sizes.
        sequence_length: tokens of a row.
        layout: how the model is cut.
        precision: fp32, bf16 or fp8.
        seed: of the first weights. None: they are not set, for they will be loaded.
        isolated: whether rows hold stretches that must not see one another; then attention is ours.
        plain: whether Megatron-core's local layers are wanted even where Transformer Engine is: their weights have
            the same names everywhere.
    """
    engine = has_transformer_engine() and not plain
    config = transformer_config(model, layout=layout, precision=precision, engine=engine, isolated=isolated)
    chunks = [
        _chunk(config, model, number, sequence_length, chunks=layout.chunks, engine=engine, isolated=isolated)
        for number in range(layout.chunks)
    ]
    if seed is not None:
        for chunk in chunks:
            initialise(chunk, model, seed=seed)
    return chunks


def _chunk(
    config: TransformerConfig,
    model: ModelConfig,
    number: int,
    sequence_length: int,
    *,
    chunks: int,
    engine: bool,
    isolated: bool,
) -> GPTModel:
    stage = {"ignore_virtual": False, "vp_stage": number if chunks > 1 else None}
    chunk = GPTModel(
        config=config,
        transformer_layer_spec=_block(config, stage["vp_stage"], engine=engine, isolated=isolated),
        vocab_size=padded_vocabulary(model.vocabulary, config.tensor_model_parallel_size),
        max_sequence_length=sequence_length,
        pre_process=parallel_state.is_pipeline_first_stage(**stage),
        post_process=parallel_state.is_pipeline_last_stage(**stage),
        parallel_output=True,
        share_embeddings_and_output_weights=model.tied_embeddings,
        position_embedding_type="rope",
        rotary_base=model.rope_base,
        vp_stage=stage["vp_stage"],
    )
    chunk.rotary_pos_emb = Rotary(model)
    if chunk.post_process:
        chunk.output_layer.register_forward_hook(partial(_hide_padding, vocabulary=model.vocabulary))
    return chunk.cuda(torch.cuda.current_device()) if has_gpu() else chunk


def _hide_padding(_layer: Any, _inputs: Any, output: tuple[Tensor, Any], *, vocabulary: int) -> None:
    logits = output[0]
    kept = vocabulary - parallel_state.get_tensor_model_parallel_rank() * logits.shape[-1]
    if kept < logits.shape[-1]:
        logits[..., max(0, kept) :] = float("-inf")


def padded_vocabulary(vocabulary: int, tensor: int) -> int:
    multiple = VOCABULARY_MULTIPLE * tensor
    return -(-vocabulary // multiple) * multiple


def transformer_config(
    model: ModelConfig, *, layout: LayoutConfig, precision: str, engine: bool = False, isolated: bool = False
) -> TransformerConfig:
    """Our few sizes as Megatron-core's settings; `engine`: whether layers are Transformer Engine's."""
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
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
        # Weights are drawn in weights.py, or loaded; Megatron-core only marks here which of them are cut.
        init_method=_leave,
        output_layer_init_method=_leave,
        embedding_init_method=_leave,
        params_dtype=dtype,
        pipeline_dtype=dtype,
        bf16=precision != "fp32",
        # The mean is over all trained tokens of the global batch, however they fall on ranks and micro batches.
        calculate_per_token_loss=True,
        **_parallelism(layout),
        **_kernels(precision, engine=engine, isolated=isolated),
    )


def _leave(weight: Tensor) -> Tensor:
    return weight


def _parallelism(layout: LayoutConfig) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "tensor_model_parallel_size": layout.tensor,
        "sequence_parallel": layout.sequence_parallel,
        "pipeline_model_parallel_size": layout.pipeline,
        "context_parallel_size": layout.context,
        # A GPU frees what was sent after it has been sent; gloo may still be reading it.
        "deallocate_pipeline_outputs": layout.pipeline > 1 and has_gpu(),
    }
    if layout.chunks > 1:
        settings |= {
            "virtual_pipeline_model_parallel_size": layout.chunks,
            "overlap_p2p_comm": True,
            "batch_p2p_comm": False,
        }
    if layout.recompute == "selective":
        settings |= {"recompute_granularity": "selective"}
    elif layout.recompute == "full":
        settings |= {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
    return settings


def _kernels(precision: str, *, engine: bool, isolated: bool) -> dict[str, Any]:
    """Fused kernels where they can run. The jit-compiled ones of Megatron-core need a GPU only."""
    apex = importlib.util.find_spec("fused_weight_gradient_mlp_cuda") is not None
    settings = {
        "gradient_accumulation_fusion": engine or (has_gpu() and apex),
        "bias_activation_fusion": has_gpu(),
        "cross_entropy_loss_fusion": has_gpu(),
        # The fused rotation knows one sequence of positions for all rows only.
        "apply_rope_fusion": engine and not isolated,
        "masked_softmax_fusion": False,
        "bias_dropout_fusion": False,
        "persist_layer_norm": False,
    }
    return settings | ({"fp8": "hybrid"} if precision == "fp8" else {})


def _block(config: TransformerConfig, chunk: int | None, *, engine: bool, isolated: bool) -> TransformerBlockSubmodules:
    layer, final_norm = _engine_layer(config) if engine else _local_layer(config)
    if isolated or not engine:
        layer.submodules.self_attention.submodules.core_attention = Attention
    count = get_num_layers_to_build(config, vp_stage=chunk)
    return TransformerBlockSubmodules(layer_specs=[layer] * count, layer_norm=final_norm)


def _engine_layer(config: TransformerConfig) -> tuple[ModuleSpec, Any]:
    from megatron.core.extensions.transformer_engine import TENorm

    return get_gpt_layer_with_transformer_engine_spec(qk_layernorm=config.qk_layernorm), TENorm


def _local_layer(config: TransformerConfig) -> tuple[ModuleSpec, Any]:
    layer = get_gpt_layer_local_spec(qk_layernorm=config.qk_layernorm, normalization="RMSNorm")
    parts = layer.submodules
    parts.input_layernorm = parts.pre_mlp_layernorm = Norm
    if config.qk_layernorm:
        attention = parts.self_attention.submodules
        attention.q_layernorm = attention.k_layernorm = Norm
    return layer, Norm
