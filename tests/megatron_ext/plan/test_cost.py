"""Parameters, FLOPs and memory, against sums done another way."""

from dataclasses import replace
from pathlib import Path

import pytest

from megatron_ext.config import ModelConfig, load_run
from megatron_ext.plan.cost import checkpoint_bytes, generation_flops, memory_per_gpu, parameters, training_flops

RUN = load_run(Path(__file__).parents[3] / "configs" / "runs" / "sbp_3b_200b.yaml")
TINY = ModelConfig(layers=3, hidden=64, ffn=96, heads=4, kv_heads=2, vocabulary=500)


def test_parameters_are_those_of_the_same_model_in_hugging_face():
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    for tied, head_dim in ((False, None), (True, None), (False, 24)):
        config = transformers.Qwen3Config(
            vocab_size=500, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, head_dim=head_dim or 16, tie_word_embeddings=tied,
        )  # fmt: skip
        with torch.device("meta"):
            model = transformers.Qwen3ForCausalLM(config)
        assert parameters(replace(TINY, tied_embeddings=tied, head_dim=head_dim)) == model.num_parameters()


def test_the_3b_model_of_the_paper_has_about_three_billion_parameters():
    assert parameters(RUN.model) == pytest.approx(2.9e9, rel=0.01)


def test_training_costs_six_flops_a_parameter_and_token_where_attention_is_short():
    matrices = parameters(RUN.model) - RUN.model.vocabulary * RUN.model.hidden  # the embedding is only looked up
    assert training_flops(RUN.model, 1000, 1) == pytest.approx(6 * matrices * 1000, rel=1e-3)


def test_attention_is_counted_key_by_key():
    """One row, each position with the keys it sees: scores and means, 2 x 2 x heads x head_size, twice that back."""
    length = 37
    keys = sum(position + 1 for position in range(length))
    for model in (TINY, replace(TINY, head_dim=24)):
        width = model.heads * model.head_size
        without = training_flops(model, length, 1) - 3 * length * model.layers * 4 * width
        assert training_flops(model, length, length) - without == 3 * model.layers * 4 * width * keys


def test_writing_tokens_costs_a_third_of_training_on_them():
    written = generation_flops(TINY, prompt=1, new=256, documents=10)
    assert written * 3 == training_flops(TINY, 2560, 256)


def test_a_prompt_costs_generation_its_reading():
    assert generation_flops(TINY, prompt=100, new=10) > generation_flops(TINY, prompt=1, new=10)
    assert generation_flops(TINY, prompt=100, new=0) == 0


def test_more_ranks_and_layouts_lower_the_memory_of_each():
    alone, shared = memory_per_gpu(RUN, 1), memory_per_gpu(RUN, 64)
    assert shared["optimizer"] < alone["optimizer"] / 60
    assert shared["total"] == sum(value for key, value in shared.items() if key != "total")
    split = replace(RUN, layout=replace(RUN.layout, tensor=2))
    assert memory_per_gpu(split, 64)["weights"] == pytest.approx(shared["weights"] / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "falls"),
    [
        ({"recompute": "full"}, True),
        ({"sequence_parallel": True, "tensor": 2}, True),
        ({"context": 2, "tensor": 2}, True),
        ({"recompute": "selective", "tensor": 2}, False),
    ],
    ids=str,
)
def test_what_saves_activations_is_seen_in_their_memory(changes, falls):
    plain = replace(RUN, layout=replace(RUN.layout, tensor=changes.get("tensor", 1)))
    changed = replace(RUN, layout=replace(RUN.layout, **changes))
    before, after = (memory_per_gpu(run, 64)["activations"] for run in (plain, changed))
    assert after < before if falls else after == before


def test_interleaving_a_pipeline_costs_activations():
    plain, interleaved = (replace(RUN, layout=replace(RUN.layout, pipeline=2, chunks=chunks)) for chunks in (1, 13))
    assert memory_per_gpu(interleaved, 64)["activations"] > memory_per_gpu(plain, 64)["activations"]


def test_a_checkpoint_holds_the_weights_and_three_float32_of_each():
    assert checkpoint_bytes(RUN) == parameters(RUN.model) * (14 if RUN.precision != "fp32" else 16)
