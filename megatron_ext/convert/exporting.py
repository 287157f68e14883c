"""Trained runs to Hugging Face folders, for transformers, vLLM and lm-eval.

With per-head QK-norm the model is, layer by layer, `Qwen3ForCausalLM`; without it, `LlamaForCausalLM`. Values are
copied, never recomputed. Megatron-core stores the rows of query, key and value of a group of heads together; Hugging
Face stores three matrices.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from data_tools.corpus.manifest import Manifest, run_step
from data_tools.text.tokenizer import Tokenizer
from megatron_ext import platform
from megatron_ext.config import LayoutConfig, ModelConfig, RunConfig, run_from_dict


def export_hf(run: Path, output: Path, *, tokenizer: Path, replace: bool = False) -> Manifest:
    """Write a finished run's newest checkpoint as a Hugging Face folder, whatever layout it was trained in.

    Args:
        run: run folder, finished.
        output: folder to make: `config.json`, `model.safetensors`, and the tokenizer's model.
        tokenizer: tokenizer folder to copy along; it says which token ends a document.
        replace: remove an export of another checkpoint that is already there.

    Raises:
        InputError: the run is missing or not finished.
    """
    loaded = Tokenizer.load(tokenizer)

    def build(scratch: Path) -> dict[str, Any]:
        config = run_from_dict(json.loads((run / "config.json").read_text()), where=str(run / "config.json"))
        tensors = hf_tensors(_weights(run, config), config.model)
        _write(scratch, tensors, config, loaded.eos)
        shutil.copy(loaded.path, scratch / "tokenizer.model")
        return {"tensors": len(tensors), "parameters": sum(tensor.numel() for tensor in tensors.values())}

    inputs = {"run": run, "tokenizer": tokenizer}
    return run_step(output, step="export", inputs=inputs, settings={"eos": loaded.eos}, build=build, replace=replace)


def hf_config(model: ModelConfig, *, sequence_length: int, eos: int) -> dict[str, Any]:
    """The `config.json` that transformers reads."""
    return {
        "architectures": ["Qwen3ForCausalLM" if model.qk_norm else "LlamaForCausalLM"],
        "model_type": "qwen3" if model.qk_norm else "llama",
        "num_hidden_layers": model.layers,
        "hidden_size": model.hidden,
        "intermediate_size": model.ffn,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.hidden // model.heads,
        "vocab_size": model.vocabulary,
        "max_position_embeddings": sequence_length,
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rope_base},
        "rope_theta": model.rope_base,
        "rms_norm_eps": model.norm_epsilon,
        "tie_word_embeddings": model.tied_embeddings,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "eos_token_id": eos,
        "pad_token_id": eos,
        "dtype": "float32",
    }


def hf_tensors(weights: dict[str, Any], model: ModelConfig) -> dict[str, Any]:
    """Megatron-core's tensors of the whole model to Hugging Face's names and shapes."""
    tensors = {
        "model.embed_tokens.weight": weights["embedding.word_embeddings.weight"][: model.vocabulary],
        "model.norm.weight": weights["decoder.final_layernorm.weight"],
    }
    if not model.tied_embeddings:
        tensors["lm_head.weight"] = weights["output_layer.weight"][: model.vocabulary]
    for layer in range(model.layers):
        tensors |= _layer(weights, model, here=f"decoder.layers.{layer}.", there=f"model.layers.{layer}.")
    return {name: tensor.contiguous().clone() for name, tensor in tensors.items()}


def _layer(weights: dict[str, Any], model: ModelConfig, *, here: str, there: str) -> dict[str, Any]:
    size, share = model.hidden // model.heads, model.heads // model.kv_heads
    qkv = weights[here + "self_attention.linear_qkv.weight"].view(model.kv_heads, (share + 2) * size, model.hidden)
    query, key, value = qkv.split([share * size, size, size], dim=1)
    gate, up = weights[here + "mlp.linear_fc1.weight"].chunk(2)
    tensors = {
        "self_attn.q_proj.weight": query.reshape(-1, model.hidden),
        "self_attn.k_proj.weight": key.reshape(-1, model.hidden),
        "self_attn.v_proj.weight": value.reshape(-1, model.hidden),
        "self_attn.o_proj.weight": weights[here + "self_attention.linear_proj.weight"],
        "input_layernorm.weight": weights[here + "input_layernorm.weight"],
        "post_attention_layernorm.weight": weights[here + "pre_mlp_layernorm.weight"],
        "mlp.gate_proj.weight": gate,
        "mlp.up_proj.weight": up,
        "mlp.down_proj.weight": weights[here + "mlp.linear_fc2.weight"],
    }
    if model.qk_norm:
        tensors["self_attn.q_norm.weight"] = weights[here + "self_attention.q_layernorm.weight"]
        tensors["self_attn.k_norm.weight"] = weights[here + "self_attention.k_layernorm.weight"]
    return {there + name: tensor for name, tensor in tensors.items()}


def _weights(run: Path, config: RunConfig) -> dict[str, Any]:
    """All weights of a run in this one process: Megatron-core gathers them from any layout."""
    platform.start(tensor=1, pipeline=1, seed=config.seed)
    try:
        from megatron_ext import checkpoint
        from megatron_ext.model import build_model

        alone = LayoutConfig(tensor=1, pipeline=1)
        length = config.batch.sequence_length
        model = build_model(config.model, sequence_length=length, layout=alone, precision=config.precision)
        checkpoint.load(checkpoint.require_latest(run), model=model, optimizer=None)
        return {name: tensor for name, tensor in model.state_dict().items() if tensor is not None}
    finally:
        platform.stop()


def _write(folder: Path, tensors: dict[str, Any], config: RunConfig, eos: int) -> None:
    from safetensors.torch import save_file

    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    settings = hf_config(config.model, sequence_length=config.batch.sequence_length, eos=eos)
    (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
