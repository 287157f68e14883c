"""An imported model is trained further in any layout, and the run is exported with the tokenizer that it names."""

import json

import pytest

from megatron_ext.cli.main import main
from megatron_ext.convert.record import read_record
from tests.megatron_ext.convert.models import LLAMA3, make_model, tensors_of
from tests.support import make_corpus, run_module, run_settings, train

SETTINGS = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 10,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 513, "tie_word_embeddings": True,
    "rope_parameters": LLAMA3,
}  # fmt: skip
"""513 is padded to 640 for one tensor rank and to 768 for two."""
LAYOUTS = ({"tensor": 2}, {"pipeline": 2}, {"tensor": 2, "sequence_parallel": True})


def convert(*arguments):
    """The counts that a command prints."""
    return json.loads(run_module("megatron_ext", "convert", *arguments, "--json"))["counts"]


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    make_model(folder / "hf", SETTINGS)
    convert("import", folder / "hf", folder / "model")
    return folder


@pytest.fixture(scope="module")
def alone(imported):
    """Settings of two steps from the import, and their losses in one process."""
    from megatron_ext.config import as_dict

    model = as_dict(read_record(imported / "model").model)
    settings = run_settings(make_corpus(imported), steps=2, model=model, init_from=str(imported / "model"))
    settings["tokenizer"] = str(imported / "tokenizer")
    return settings, train(imported / "alone", settings)


def test_training_starts_from_the_imported_weights(imported, alone):
    settings, losses = alone
    fresh = train(imported / "fresh", {name: value for name, value in settings.items() if name != "init_from"})
    assert abs(losses[0] - fresh[0]) > 0.1


@pytest.mark.parametrize("layout", LAYOUTS, ids="-".join)
def test_every_layout_reads_the_same_imported_weights(layout, imported, alone):
    settings, expected = alone
    name = "-".join(layout)
    found = train(imported / name, settings | {"layout": layout}, processes=2)
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_run_is_exported_with_the_tokenizer_that_it_names(imported, alone):
    convert("export", imported / "alone", imported / "exported")
    kept = (imported / "tokenizer" / "tokenizer.model").read_bytes()
    assert (imported / "exported" / "tokenizer.model").read_bytes() == kept
    settings = json.loads((imported / "exported" / "config.json").read_text())
    assert (settings["eos_token_id"], settings["max_position_embeddings"], settings["dtype"]) == (1, 16, "float32")


def test_an_unfinished_run_is_exported_too_and_in_another_precision(imported, alone):
    import torch

    (imported / "alone" / "manifest.json").rename(imported / "manifest.json")
    convert("export", imported / "alone", imported / "unfinished", "--precision", "bf16")
    (imported / "manifest.json").rename(imported / "alone" / "manifest.json")
    half, whole = tensors_of(imported / "unfinished"), tensors_of(imported / "exported")
    assert all(torch.equal(value, whole[name].bfloat16()) for name, value in half.items())


def test_a_run_without_a_tokenizer_is_exported_only_with_one_given(imported, alone, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    settings = json.loads((imported / "alone" / "config.json").read_text()) | {"tokenizer": None}
    (tmp_path / "run" / "config.json").write_text(json.dumps(settings))
    (tmp_path / "run" / "checkpoints").symlink_to(imported / "alone" / "checkpoints")
    assert main(["convert", "export", str(tmp_path / "run"), str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err
    assert "--tokenizer: found none" in printed
    assert "Traceback" not in printed
