"""Exported runs are the same models: logits of transformers against Megatron-core's own."""

import os
import subprocess
import sys

import pytest
import torch

from tests.megatron_ext.convert.models import logits
from tests.support import MODEL, ROOT, make_corpus, run_settings, train

OURS = """
import sys
from pathlib import Path
import torch
from tests.megatron_ext.convert.cross import our_logits
torch.save(our_logits(Path(sys.argv[1]), 400), sys.argv[2])
"""


@pytest.mark.parametrize(
    "qk_norm", [pytest.param(True, id="Qwen3"), pytest.param(False, id="Llama", marks=pytest.mark.slow)]
)
def test_an_exported_model_has_the_logits_of_the_run(qk_norm, tmp_path):
    corpus = make_corpus(tmp_path)
    settings = run_settings(corpus, steps=2, model=MODEL | {"qk_norm": qk_norm, "tied_embeddings": qk_norm})
    train(tmp_path / "run", settings | {"layout": {"tensor": 2}}, processes=2)
    export = ["-m", "megatron_ext", "convert", "export", "run", "hf", "--tokenizer", "tokenizer"]
    for arguments in (export, ["-W", "ignore", "-c", OURS, "run", "ours.pt"]):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=environment, check=True)
    assert (torch.load(tmp_path / "ours.pt") - logits(tmp_path / "hf")).abs().max() < 1e-4
