"""Every config.json that can be one of our models becomes it; every other one is refused by the name of its key."""

import pytest

from data_tools.errors import InputError
from megatron_ext.config import ModelConfig, RopeScaling
from megatron_ext.convert.hf_config import hf_config, model_of

LLAMA31 = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "attention_dropout": 0.0,
    "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu", "hidden_size": 4096,
    "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": False,
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1,
    "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "rope_scaling": {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "vocab_size": 128256,
}  # fmt: skip
QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072,
    "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "head_dim": 128,
    "rms_norm_eps": 1e-06, "rope_theta": 1000000, "rope_scaling": None, "tie_word_embeddings": True,
    "use_sliding_window": False, "sliding_window": None, "max_window_layers": 28, "vocab_size": 151936,
}  # fmt: skip


def read(settings):
    return model_of(settings, where="config.json")


def test_llama_3_1_as_it_was_published():
    assert read(LLAMA31) == ModelConfig(
        layers=32, hidden=4096, ffn=14336, heads=32, kv_heads=8, vocabulary=128256, rope_base=500000.0, qk_norm=False,
        rope_scaling=RopeScaling(factor=8.0), norm_epsilon=1e-5,
    )  # fmt: skip


def test_qwen3_with_heads_wider_than_its_hidden_size_says():
    assert read(QWEN3) == ModelConfig(
        layers=28, hidden=1024, ffn=3072, heads=16, kv_heads=8, head_dim=128, vocabulary=151936, rope_base=1e6,
        tied_embeddings=True, norm_epsilon=1e-6,
    )  # fmt: skip


def test_the_layout_of_transformers_5_says_the_same_as_the_older_one():
    old = {name: value for name, value in LLAMA31.items() if name not in ("rope_theta", "rope_scaling")}
    new = old | {"rope_parameters": LLAMA31["rope_scaling"] | {"rope_theta": 500000.0}}
    assert read(new) == read(LLAMA31)


def test_an_old_file_that_says_type_for_rope_type_is_understood():
    scaling = {name: value for name, value in LLAMA31["rope_scaling"].items() if name != "rope_type"}
    assert read(LLAMA31 | {"rope_scaling": scaling | {"type": "llama3"}}) == read(LLAMA31)


@pytest.mark.parametrize("settings", [LLAMA31, QWEN3], ids=["Llama", "Qwen3"])
def test_what_is_written_is_read_back_as_the_same_model(settings):
    model = read(settings)
    assert read(hf_config(model, context=4096, tokens={}, dtype="float32")) == model


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"model_type": "mistral"}, "model_type"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "architectures"),
        ({"attention_bias": True}, "attention_bias"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantization_config"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling.rope_type"),
        ({"rope_scaling": None, "rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope_parameters.rope_type"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling.low_freq_factor"),
        ({"rope_parameters": LLAMA31["rope_scaling"] | {"factor": 2.0}}, "rope_scaling.factor"),
        ({"rope_scaling": None, "rope_parameters": {"full_attention": {"rope_type": "default"}}}, "rope_parameters"),
        ({"num_hidden_layers": None}, "num_hidden_layers"),
        ({"vocab_size": "many"}, "vocabulary"),
        ({"num_key_value_heads": 5}, "config.json: found heads 32"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_model_that_would_compute_something_else_is_refused_by_its_key(changes, key):
    with pytest.raises(InputError, match="expected") as error:
        read(LLAMA31 | changes)
    assert key in str(error.value)
