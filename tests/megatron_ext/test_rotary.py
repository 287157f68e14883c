"""Rotary positions are those of Llama 3, and may start anew within a row. In a process of its own: Megatron-core on a
CPU changes torch for the whole process."""

import json
import os
import subprocess
import sys

import pytest

from tests.support import ROOT

MEASURE = """
import json, torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from megatron_ext import platform
from megatron_ext.config import LayoutConfig, ModelConfig, RopeScaling
from megatron_ext.model import build_model
from megatron_ext.model.rotary import Rotary, frequencies

sizes = dict(layers=1, hidden=30, ffn=16, heads=3, kv_heads=3, head_dim=64, vocabulary=40)
scaling = RopeScaling(factor=8.0, original_context=256)
plain, scaled = ModelConfig(**sizes), ModelConfig(**sizes, rope_scaling=scaling)
llama3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 256}
rope = {"plain": {"rope_type": "default", "rope_theta": 5e5}, "scaled": llama3}
found = {}
for name, model in {"plain": plain, "scaled": scaled}.items():
    theirs = LlamaRotaryEmbedding(LlamaConfig(head_dim=64, rope_parameters=rope[name])).inv_freq
    found[name] = ((frequencies(model) - theirs) / theirs).abs().max().item()

platform.start(LayoutConfig(), seed=1)
model = build_model(scaled, sequence_length=12, layout=LayoutConfig(), precision="fp32", seed=1)[0].eval()
tokens = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 7, 1, 8, 2, 8]])
places = torch.tensor([[5, 6, 7, 8, 9, 10], [0, 1, 2, 3, 4, 5]])
logits = lambda: model(tokens, places, None)[..., :40]
unset = logits()
model.rotary_pos_emb.positions_RS = torch.arange(6).expand(2, -1)
found["same where positions count up"] = (logits() - unset).abs().max().item()
model.rotary_pos_emb.positions_RS = places
found["shifted rows"] = (logits() - unset).abs().max().item()
model.rotary_pos_emb.positions_RS = torch.tensor([[0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 4, 5]])
moved = (logits() - unset).abs().amax(-1)
found["restarted row"], found["other row"] = moved[0].max().item(), moved[1].max().item()
rotary = model.rotary_pos_emb.bfloat16()
found["dtype"] = str(rotary(4).dtype)
found["in checkpoints"] = [name for name in model.sharded_state_dict() if "rotary" in name]
print(json.dumps(found))
platform.stop()
"""


@pytest.fixture(scope="module")
def found():
    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURE], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ).stdout  # fmt: skip
    return json.loads(printed.splitlines()[-1])


def test_frequencies_are_those_of_transformers_with_and_without_scaling(found):
    assert found["plain"] == 0.0
    assert found["scaled"] < 1e-6


def test_positions_that_count_up_are_the_same_as_none(found):
    assert found["same where positions count up"] == 0.0


def test_only_distances_matter_so_a_row_that_begins_later_has_the_same_logits(found):
    assert found["shifted rows"] < 1e-6


def test_positions_that_start_anew_change_their_row_and_no_other(found):
    assert found["restarted row"] > 1e-5
    assert found["other row"] == 0.0


def test_angles_stay_in_float32_and_out_of_checkpoints(found):
    assert found["dtype"] == "torch.float32"
    assert found["in checkpoints"] == []
