"""The models in configs/models have the sizes that were published, by our own count and by that of transformers."""

from pathlib import Path

import pytest

from megatron_ext.config import ModelConfig, model_from_dict
from megatron_ext.config.yaml_file import read_yaml
from megatron_ext.plan.cost import parameters

FOLDER = Path(__file__).parents[2] / "configs" / "models"
PRESETS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
PUBLISHED = {
    "llama3.1-8b": 8_030_261_248,
    "llama3.2-3b": 3_212_749_824,
    "smollm2-135m": 134_515_008,
}
NOMINAL = {
    "sbp-3b": 3e9,
    "sbp-6b": 6.5e9,  # 6.5 without its embeddings
    "megadoc-300m": 0.3e9,
    "megadoc-1.5b": 1.5e9,
}


def preset(name: str) -> ModelConfig:
    path = FOLDER / f"{name}.yaml"
    return model_from_dict(read_yaml(path).values, where=str(path))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_has_its_published_number_of_parameters(name):
    assert parameters(preset(name)) == PUBLISHED[name]


@pytest.mark.parametrize("name", NOMINAL)
def test_a_model_known_by_its_rounded_size_comes_near_to_it(name):
    assert parameters(preset(name)) == pytest.approx(NOMINAL[name], rel=0.07)


@pytest.mark.parametrize("name", PRESETS)
def test_transformers_builds_the_preset_with_as_many_parameters(name):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from megatron_ext.convert.hf_config import hf_config

    settings = hf_config(preset(name), context=4096, tokens={}, dtype="float32")
    with torch.device("meta"):
        built = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**settings))
    assert sum(weight.numel() for weight in built.parameters()) == parameters(preset(name))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_opens_with_what_it_is(name):
    assert (FOLDER / f"{name}.yaml").read_text().startswith("# ")
