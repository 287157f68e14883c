"""Measures rotary positions against those of transformers: a program, run by test_rotary.py."""

import json
from typing import Any

import torch
from torch import Tensor

from megatron_ext import platform
from megatron_ext.config import LayoutConfig, ModelConfig, RopeScaling
from megatron_ext.model import build_model
from megatron_ext.model.rotary import frequencies

SIZES = {"layers": 1, "hidden": 30, "ffn": 16, "heads": 3, "kv_heads": 3, "head_dim": 64, "vocabulary": 40}
PLAIN = ModelConfig(**SIZES)
SCALED = ModelConfig(**SIZES, rope_scaling=RopeScaling(factor=8.0, original_context=256))
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}  # fmt: skip
TOKENS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 7, 1, 8, 2, 8]])
LATER = torch.tensor([[5, 6, 7, 8, 9, 10], [0, 1, 2, 3, 4, 5]])
ANEW = torch.tensor([[0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 4, 5]])


def apart_from_transformers(model: ModelConfig, rope: dict[str, Any]) -> float:
    """The largest difference of frequencies, as a share."""
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    theirs = LlamaRotaryEmbedding(LlamaConfig(head_dim=64, rope_parameters=rope)).inv_freq
    return ((frequencies(model) - theirs) / theirs).abs().max().item()


def measure(model: torch.nn.Module) -> dict[str, Any]:
    def logits(positions_RS: Tensor | None) -> Tensor:
        model.rotary_pos_emb.positions_RS = positions_RS
        return model(TOKENS, LATER, None)[..., :40]

    unset = logits(None)
    restarted, other = (logits(ANEW) - unset).abs().amax((1, 2)).tolist()
    found = {
        "same where positions count up": (logits(torch.arange(6).expand(2, -1)) - unset).abs().max().item(),
        "shifted rows": (logits(LATER) - unset).abs().max().item(),
        "restarted row": restarted,
        "other row": other,
        "in checkpoints": [name for name in model.sharded_state_dict() if "rotary" in name],
    }
    model.rotary_pos_emb.positions_RS = ANEW
    return found | {"dtype": str(model.rotary_pos_emb.bfloat16()(4).dtype)}


if __name__ == "__main__":
    plain = apart_from_transformers(PLAIN, {"rope_type": "default", "rope_theta": 5e5})
    scaled = apart_from_transformers(SCALED, LLAMA3)
    platform.start(LayoutConfig(), seed=1)
    model = build_model(SCALED, sequence_length=12, layout=LayoutConfig(), precision="fp32", seed=1)[0].eval()
    print(json.dumps({"plain": plain, "scaled": scaled} | measure(model)))
