"""Exported runs are the same models: logits of transformers against Megatron-core's own."""

import pytest
import torch

from tests.megatron_ext.convert.models import logits
from tests.support import MODEL, make_corpus, run_module, run_settings, train


@pytest.mark.parametrize("qk_norm", [True, False], ids=["Qwen3", "Llama"])
def test_an_exported_model_has_the_logits_of_the_run(qk_norm, tmp_path):
    corpus = make_corpus(tmp_path)
    settings = run_settings(corpus, steps=2, model=MODEL | {"qk_norm": qk_norm, "tied_embeddings": qk_norm})
    train(tmp_path / "run", settings | {"layout": {"tensor": 2}}, processes=2)
    run_module("megatron_ext", "convert", "export", "run", "hf", "--tokenizer", "tokenizer", folder=tmp_path)
    run_module("tests.megatron_ext.convert.core_logits", "run", MODEL["vocabulary"], "ours.pt", folder=tmp_path)
    assert (torch.load(tmp_path / "ours.pt") - logits(tmp_path / "hf")).abs().max() < 1e-4
