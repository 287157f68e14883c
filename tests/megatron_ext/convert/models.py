"""Small Hugging Face models of awkward shapes with random weights, for conversions to be tried on."""

from pathlib import Path
from typing import Any

import torch

LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 5e5, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
PLAIN = {"rope_type": "default", "rope_theta": 1e5}
SIZES = {
    "hidden_size": 24, "intermediate_size": 30, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 3, "head_dim": 10, "vocab_size": 301, "max_position_embeddings": 256,
    "bos_token_id": 5, "eos_token_id": [2, 7], "rms_norm_eps": 1e-5,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "llama-tied-scaled": {"model_type": "llama", "tie_word_embeddings": True, "rope_parameters": LLAMA3},
    "llama-untied": {"model_type": "llama", "tie_word_embeddings": False, "rope_parameters": PLAIN},
    "qwen3-tied": {"model_type": "qwen3", "tie_word_embeddings": True, "rope_parameters": PLAIN},
    "qwen3-untied-scaled": {"model_type": "qwen3", "tie_word_embeddings": False, "rope_parameters": LLAMA3},
    "three-heads": {
        "model_type": "llama", "tie_word_embeddings": False, "rope_parameters": PLAIN, "hidden_size": 30,
        "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": None,
    },
    "bf16": {"model_type": "llama", "tie_word_embeddings": False, "rope_parameters": PLAIN, "dtype": "bfloat16"},
}  # fmt: skip
ROWS, LENGTH = 2, 96


def tokens_RS() -> torch.Tensor:
    return torch.randint(301, (ROWS, LENGTH), generator=torch.Generator().manual_seed(7))


def make_model(folder: Path, settings: dict[str, Any], *, shard_size: str = "5GB") -> None:
    """Save a model with random weights, norms included."""
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = SIZES | settings
    dtype = getattr(torch, settings.pop("dtype", "float32"))
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings)).to(dtype).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3 + (1.0 if "norm" in name else 0.0))
    model.save_pretrained(folder, max_shard_size=shard_size)


def logits(folder: Path) -> torch.Tensor:
    """Of transformers. A model that was cast in memory would have its rotary frequencies cast too: read it anew."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    with torch.no_grad():
        return model(tokens_RS()).logits.float()


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}
