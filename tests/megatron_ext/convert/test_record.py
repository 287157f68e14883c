"""A folder of weights says which model it holds; a run starts from weights of its own model only."""

import dataclasses
import json
import subprocess
import sys

import pytest

from data_tools.errors import InputError
from megatron_ext.config import ModelConfig, RopeScaling, as_dict, run_from_dict
from megatron_ext.convert.record import ModelRecord, read_record, record_text, require_same_model
from tests.support import ROOT, run_settings

MODEL = ModelConfig(layers=2, hidden=24, ffn=30, heads=6, kv_heads=3, vocabulary=301, head_dim=10)


@pytest.fixture
def imported(tmp_path):
    record = ModelRecord(
        model=dataclasses.replace(MODEL, rope_scaling=RopeScaling(factor=8.0)), precision="bf16", context=256,
        tokens={"eos_token_id": [1, 2]},
    )  # fmt: skip
    (tmp_path / "model.json").write_text(record_text(record))
    return tmp_path


@pytest.fixture
def run(tmp_path):
    config = run_from_dict(run_settings(tmp_path / "corpus", steps=2, precision="bf16"), where="test")
    (tmp_path / "config.json").write_text(json.dumps(as_dict(config)))
    return tmp_path


def test_a_record_is_read_back_as_it_was_written(imported):
    record = read_record(imported)
    assert record.model.rope_scaling == RopeScaling(factor=8.0)
    assert (record.precision, record.context, record.tokens) == ("bf16", 256, {"eos_token_id": [1, 2]})


def test_a_run_is_its_own_record(run):
    record = read_record(run)
    assert (record.model.hidden, record.precision, record.context) == (32, "bf16", 16)


def test_a_run_of_the_same_model_may_start_from_the_weights(imported):
    model = read_record(imported).model
    require_same_model(model, imported)
    require_same_model(dataclasses.replace(model, init_std=0.5), imported)


def test_weights_of_another_model_are_refused_with_every_size_that_differs(imported):
    other = dataclasses.replace(MODEL, vocabulary=400, layers=3, head_dim=4)
    with pytest.raises(InputError) as error:
        require_same_model(other, imported)
    message = str(error.value)
    assert "found layers 2, vocabulary 301, rope_scaling {factor: 8.0" in message
    assert "head_size 10, expected" in message
    assert "expected this run's layers 3, vocabulary 400, rope_scaling null, head_size 4" in message


def test_a_head_size_said_in_two_ways_is_the_same(tmp_path):
    spoken = ModelConfig(layers=2, hidden=60, ffn=30, heads=6, kv_heads=3, vocabulary=301, head_dim=10)
    (tmp_path / "model.json").write_text(record_text(ModelRecord(model=spoken, precision="fp32", context=8)))
    require_same_model(dataclasses.replace(spoken, head_dim=None), tmp_path)


def test_a_hugging_face_folder_is_sent_to_the_import(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(InputError, match="found a Hugging Face folder") as error:
        require_same_model(MODEL, tmp_path)
    assert "convert import" in str(error.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [(None, "neither model.json nor config.json"), ("{", "no JSON"), ("[]", "a list"), ("{}", "misses or adds a key")],
)
def test_a_folder_that_says_nothing_usable_is_refused(text, found, tmp_path):
    if text is not None:
        (tmp_path / "model.json").write_text(text)
    with pytest.raises(InputError, match=found):
        read_record(tmp_path)


def test_a_run_can_be_refused_without_torch():
    code = "import sys, megatron_ext.convert.record; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
