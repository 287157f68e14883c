"""Exported models are the same models: logits of transformers against Megatron-core's own."""

import subprocess
import sys

import pytest

from tests.support import MODEL, ROOT, make_corpus, run_settings, train

COMPARE = """
import sys, torch
from pathlib import Path
from transformers import AutoModelForCausalLM
run, exported = map(Path, sys.argv[1:])
ids = torch.arange(48).reshape(2, 24) * 7 % 400
theirs = AutoModelForCausalLM.from_pretrained(exported)(ids).logits
from megatron_ext import platform
from megatron_ext.evaluation.inputs import check_inputs
platform.start(tensor=1, pipeline=1, seed=1)
from megatron_ext import checkpoint
from megatron_ext.config import run_from_dict, LayoutConfig
from megatron_ext.model import build_model
import json
config = run_from_dict(json.loads((run / "config.json").read_text()), where="test")
model = build_model(config.model, sequence_length=64, layout=LayoutConfig(), precision="fp32")
checkpoint.load(checkpoint.require_latest(run), model=model, optimizer=None)
ours = model(ids, torch.arange(24).expand(2, -1), None)[..., :400]
print((ours - theirs).abs().max().item())
"""


@pytest.mark.parametrize("qk_norm", [True, False], ids=["Qwen3", "Llama"])
def test_an_exported_model_has_the_logits_of_the_run(qk_norm, tmp_path):
    corpus = make_corpus(tmp_path)
    settings = run_settings(corpus, steps=2, model=MODEL | {"qk_norm": qk_norm, "tied_embeddings": qk_norm})
    train(tmp_path / "run", settings | {"layout": {"tensor": 2}}, processes=2)
    export = ["convert", "export", str(tmp_path / "run"), str(tmp_path / "hf")]
    export += ["--tokenizer", str(tmp_path / "tokenizer")]
    subprocess.run([sys.executable, "-m", "megatron_ext", *export], cwd=ROOT, check=True)
    arguments = [sys.executable, "-c", COMPARE, str(tmp_path / "run"), str(tmp_path / "hf")]
    printed = subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert float(printed.splitlines()[-1]) < 1e-4
