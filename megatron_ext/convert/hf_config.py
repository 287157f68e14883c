"""The `config.json` of Hugging Face to the sizes of a model, and back.

With per-head QK-norm a model of ours is, layer by layer, `Qwen3ForCausalLM`; without it, `LlamaForCausalLM`. Whatever a
file asks for that these sizes can't say is refused by the name of its key: a model that would compute something else
is never imported.
"""

import json
from collections.abc import Mapping
from typing import Any

from data_tools.errors import InputError
from megatron_ext.config import ModelConfig, RopeScaling, model_from_dict

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}
"""model_type -> architecture."""
ONLY = {
    "attention_bias": False,
    "mlp_bias": False,
    "hidden_act": "silu",
    "use_sliding_window": False,
    "partial_rotary_factor": 1.0,
    "quantization_config": None,
}
"""Keys with the one value that they may have, which is what their absence means."""
SCALING = {
    "factor": "factor",
    "low_frequency": "low_freq_factor",
    "high_frequency": "high_freq_factor",
    "original_context": "original_max_position_embeddings",
}
"""Our name -> theirs."""
SPECIAL_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")


def model_of(settings: Mapping[str, Any], *, where: str) -> ModelConfig:
    """The sizes that a `config.json` describes.

    Args:
        settings: its keys and values, in the layout of transformers 5 or an older one.
        where: the file, as an error names it.

    Raises:
        InputError: the model is of another family, or has something that ours can't have.
    """
    kind = _kind(settings, where)
    for key, value in ONLY.items():
        if settings.get(key) not in (value, None):
            raise _refused(key, settings[key], value, where)
    for value in settings.get("layer_types") or ():
        if value != "full_attention":
            raise _refused("layer_types", value, "full_attention", where)
    hidden, heads = (_required(settings, key, where) for key in ("hidden_size", "num_attention_heads"))
    head_dim = settings.get("head_dim") or (128 if kind == "qwen3" else None)
    base, scaling = _rope(settings, where)
    values = {
        "layers": _required(settings, "num_hidden_layers", where),
        "hidden": hidden,
        "ffn": _required(settings, "intermediate_size", where),
        "heads": heads,
        "kv_heads": settings.get("num_key_value_heads") or heads,
        "vocabulary": _required(settings, "vocab_size", where),
        "head_dim": None if head_dim is None or head_dim * heads == hidden else head_dim,
        "rope_base": base,
        "rope_scaling": scaling,
        "qk_norm": kind == "qwen3",
        "tied_embeddings": settings.get("tie_word_embeddings") or False,
        "norm_epsilon": settings.get("rms_norm_eps") or 1e-6,
        "init_std": settings.get("initializer_range") or 0.02,
    }
    return model_from_dict(values, where=where)


def hf_config(model: ModelConfig, *, context: int, tokens: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """The `config.json` that transformers, old and new, and vLLM read.

    Args:
        model: its sizes.
        context: longest sequence.
        tokens: ids of SPECIAL_TOKENS, where there are such.
        dtype: such as "bfloat16".
    """
    kind = "qwen3" if model.qk_norm else "llama"
    scaling = None if model.rope_scaling is None else _scaling(model.rope_scaling)
    return {
        "architectures": [ARCHITECTURES[kind]],
        "model_type": kind,
        "num_hidden_layers": model.layers,
        "hidden_size": model.hidden,
        "intermediate_size": model.ffn,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_size,
        "vocab_size": model.vocabulary,
        "max_position_embeddings": context,
        "rope_parameters": {"rope_theta": model.rope_base} | (scaling or {"rope_type": "default"}),
        # The same as transformers 4 and readers of its files know it.
        "rope_theta": model.rope_base,
        "rope_scaling": scaling,
        "rms_norm_eps": model.norm_epsilon,
        "initializer_range": model.init_std,
        "tie_word_embeddings": model.tied_embeddings,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "dtype": dtype,
    } | {name: tokens.get(name) for name in SPECIAL_TOKENS}


def _scaling(scaling: RopeScaling) -> dict[str, Any]:
    return {"rope_type": "llama3"} | {theirs: getattr(scaling, ours) for ours, theirs in SCALING.items()}


def _kind(settings: Mapping[str, Any], where: str) -> str:
    kind = settings.get("model_type")
    if kind not in ARCHITECTURES:
        raise _refused("model_type", kind, " or ".join(ARCHITECTURES), where)
    for name in settings.get("architectures") or ():
        if name != ARCHITECTURES[kind]:
            raise _refused("architectures", name, ARCHITECTURES[kind], where)
    return kind


def _rope(settings: Mapping[str, Any], where: str) -> tuple[float, dict[str, Any] | None]:
    """(base, scaling) from `rope_parameters`, or from `rope_theta` and `rope_scaling` as they were before."""
    old, new = settings.get("rope_scaling") or {}, settings.get("rope_parameters") or {}
    key = "rope_parameters" if new else "rope_scaling"
    for name in old.keys() & new.keys():
        if old[name] != new[name]:
            raise _refused(f"rope_scaling.{name}", old[name], f"{new[name]}, as in rope_parameters", where)
    values = {"rope_theta": settings.get("rope_theta", 10000.0), **old, **new}
    kind = values.get("rope_type") or values.get("type") or "default"
    if kind not in ("default", "llama3") or any(isinstance(value, dict) for value in values.values()):
        raise _refused(f"{key}.rope_type", kind, "default or llama3, one for all layers", where)
    if kind == "default":
        return values["rope_theta"], None
    return values["rope_theta"], {ours: _required(values, name, where, within=key) for ours, name in SCALING.items()}


def _required(settings: Mapping[str, Any], key: str, where: str, *, within: str = "") -> Any:
    if settings.get(key) is None:
        raise InputError(
            where=f"{where}, key '{within + '.' * bool(within)}{key}'", found="no such key", expected="a number",
            fix="Take config.json from where the weights come from.",
        )  # fmt: skip
    return settings[key]


def _refused(key: str, found: Any, expected: Any, where: str) -> InputError:
    shown = expected if isinstance(expected, str) else json.dumps(expected)
    return InputError(
        where=f"{where}, key '{key}'", found=json.dumps(found), expected=shown,
        fix="Only models of the shape of Llama 3, and of Qwen3 with its QK-norm, can be imported.",
    )  # fmt: skip
