"""Whatever is wrong with a folder of safetensors is named before a model is built, and nothing is left behind."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from data_tools.errors import InputError
from megatron_ext.convert.hf_config import model_of
from megatron_ext.convert.importing import import_hf
from megatron_ext.convert.names import entries
from megatron_ext.convert.shards import INDEX, require_entries, shard_plan, stored_tensors
from tests.megatron_ext.convert.models import CASES, make_model


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "hf"
    make_model(folder, CASES["llama-untied"], shard_size="30KB")
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A model in several files, to be damaged."""
    return shutil.copytree(whole, tmp_path / "hf")


def refusal(folder):
    """What the import of a folder is refused with; nothing of it stays."""
    output = folder.parent / "imported"
    with pytest.raises(InputError) as error:
        import_hf(folder, output)
    assert not output.exists()
    assert not list(folder.parent.glob("*.partial"))
    return str(error.value)


def change(folder, name, **values):
    """Write the file that holds a tensor again, with other tensors in it; None removes one."""
    index = json.loads((folder / INDEX).read_text())
    file = folder / index["weight_map"][name]
    tensors = load_file(file) | values
    save_file({key: value for key, value in tensors.items() if value is not None}, file)


def test_a_missing_file_is_named(folder):
    file = sorted(folder.glob("*.safetensors"))[1]
    file.unlink()
    assert f"{file}: found no such file" in refusal(folder)


def test_a_file_cut_short_is_named(folder):
    file = sorted(folder.glob("*.safetensors"))[1]
    file.write_bytes(file.read_bytes()[:-10])
    assert f"{file}: found no whole safetensors file" in refusal(folder)


def test_a_tensor_that_is_not_where_the_index_says_is_named(folder):
    name = "model.layers.1.mlp.up_proj.weight"
    change(folder, name, **{name: None})
    assert f"found no tensor {name}" in refusal(folder)


def test_a_tensor_that_no_file_has_is_named(folder):
    name = "model.layers.1.mlp.up_proj.weight"
    change(folder, name, **{name: None})
    index = json.loads((folder / INDEX).read_text())
    del index["weight_map"][name]
    (folder / INDEX).write_text(json.dumps(index))
    assert f"found no tensor {name}, expected one of shape (30, 24)" in refusal(folder)


def test_a_tensor_of_another_shape_is_named(folder):
    name = "model.layers.1.self_attn.k_proj.weight"
    change(folder, name, **{name: torch.zeros(31, 24)})
    assert f"tensor {name}: found shape (31, 24) of F32, expected shape (30, 24)" in refusal(folder)


def test_quantized_weights_are_refused(folder):
    name = "model.layers.1.self_attn.k_proj.weight"
    change(folder, name, **{name: torch.zeros(30, 24, dtype=torch.int8)})
    assert f"tensor {name}: found shape (30, 24) of I8" in refusal(folder)


def test_a_bias_that_config_json_keeps_silent_about_is_refused(folder):
    change(folder, "model.norm.weight", **{"model.layers.0.self_attn.q_proj.bias": torch.zeros(60)})
    assert "tensor model.layers.0.self_attn.q_proj.bias: found a tensor that this model has no place" in refusal(folder)


def test_frequencies_that_old_files_hold_do_no_harm(folder):
    change(folder, "model.norm.weight", **{"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(5)})
    require_entries(stored_tensors(folder), entries_of(folder), folder=folder, tied=False)


def test_weights_in_pickles_are_refused_with_what_to_do(folder):
    for file in (*folder.glob("*.safetensors"), folder / INDEX):
        file.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")
    assert "found weights in another format, expected weights in safetensors" in refusal(folder)


def test_a_folder_without_config_json_is_refused(folder):
    (folder / "config.json").unlink()
    assert "config.json: found no such file" in refusal(folder)


@pytest.mark.parametrize("same", [True, False])
def test_an_output_layer_beside_tied_embeddings_has_to_be_the_embedding(same, tmp_path):
    folder = tmp_path / "hf"
    make_model(folder, CASES["llama-tied-scaled"])
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] + (0.0 if same else 1.0)
    save_file(tensors, folder / "model.safetensors")
    if same:
        require_entries(stored_tensors(folder), entries_of(folder), folder=folder, tied=True)
    else:
        assert "tensor lm_head.weight: found a tensor that this model has no place for" in refusal(folder)


def test_files_are_filled_up_to_their_limit_and_a_larger_tensor_has_one_of_its_own():
    sizes = [("a", 4), ("b", 4), ("c", 4), ("d", 99), ("e", 1)]
    assert shard_plan(sizes, limit=10) == [["a", "b"], ["c"], ["d"], ["e"]]


def entries_of(folder):
    return entries(model_of(json.loads((folder / "config.json").read_text()), where="test"))
