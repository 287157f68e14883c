"""Imported models compute what transformers computes, and come out again as they went in, bit by bit."""

import json

import pytest
import torch

from megatron_ext.convert.record import read_record
from tests.megatron_ext.convert.models import CASES, logits, make_model, tensors_of, tokens_RS
from tests.support import run_module

SHARD_BYTES = 20_000


@pytest.fixture(scope="module")
def crossed(tmp_path_factory):
    """Case -> its folder, imported and exported, and the logits of transformers for the original."""
    folder = tmp_path_factory.mktemp("crossed")
    expected = {}
    for name, settings in CASES.items():
        shard_size = "30KB" if "untied" in name else "5GB"
        make_model(folder / name / "hf", settings, shard_size=shard_size)
        expected[name] = logits(folder / name / "hf")
    folders = [folder / name for name in CASES]
    run_module("tests.megatron_ext.convert.cross", SHARD_BYTES, *folders)
    return {name: (folder / name, expected[name]) for name in CASES}


@pytest.mark.parametrize("case", CASES)
def test_an_imported_model_has_the_logits_of_transformers(case, crossed):
    folder, expected = crossed[case]
    assert expected.std() > 0.5, "the logits say too little"
    apart = (torch.load(folder / "ours.pt") - expected).abs()
    if case == "bf16":  # the two round at different places
        assert apart.mean() < 0.02 * expected.std()
    else:
        assert apart.max() < 1e-4


@pytest.mark.parametrize("case", [case for case in CASES if case != "bf16"])
def test_the_loss_is_that_of_transformers_though_the_vocabulary_is_padded(case, crossed):
    folder, expected = crossed[case]
    loss = torch.nn.functional.cross_entropy(expected.flatten(0, 1), tokens_RS().flatten())
    assert float((folder / "loss.txt").read_text()) == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_an_exported_model_has_the_logits_of_the_original(case, crossed):
    folder, expected = crossed[case]
    assert torch.equal(logits(folder / "exported"), expected)


@pytest.mark.parametrize("case", CASES)
def test_what_was_imported_is_exported_bit_by_bit(case, crossed):
    folder, _ = crossed[case]
    before, after = tensors_of(folder / "hf"), tensors_of(folder / "exported")
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert value.dtype == after[name].dtype
        assert torch.equal(value, after[name]), name


@pytest.mark.parametrize("case", CASES)
def test_the_exported_config_says_what_the_original_said(case, crossed):
    from transformers import AutoConfig

    folder, _ = crossed[case]
    before, after = (AutoConfig.from_pretrained(folder / name).to_dict() for name in ("hf", "exported"))
    ignored = {"transformers_version", "_name_or_path", "head_dim", "use_cache"}
    assert {k: v for k, v in before.items() if k not in ignored} == {k: v for k, v in after.items() if k not in ignored}


def test_a_large_model_is_exported_in_several_files_that_the_index_names(crossed):
    folder, _ = crossed["llama-untied"]
    index = json.loads((folder / "exported" / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in (folder / "exported").glob("*.safetensors"))
    assert len(files) > 3
    assert sorted(set(index["weight_map"].values())) == files
    assert index["weight_map"].keys() == tensors_of(folder / "exported").keys()
    assert index["metadata"]["total_size"] == sum(v.nbytes for v in tensors_of(folder / "exported").values())


def test_an_export_is_as_readable_as_any_other_file(crossed):
    exported = crossed["qwen3-tied"][0] / "exported"
    assert len({path.stat().st_mode for path in exported.iterdir()}) == 1


def test_weights_in_bf16_stay_in_bf16_and_others_become_fp32(crossed):
    assert read_record(crossed["bf16"][0] / "imported").precision == "bf16"
    assert read_record(crossed["qwen3-tied"][0] / "imported").precision == "fp32"


def test_generation_stops_where_it_did_before_the_import(crossed):
    exported = crossed["llama-untied"][0] / "exported"
    assert json.loads((exported / "generation_config.json").read_text())["eos_token_id"] == [2, 7]
    assert json.loads((exported / "config.json").read_text())["eos_token_id"] == [2, 7]
