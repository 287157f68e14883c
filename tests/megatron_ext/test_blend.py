"""Blends of a real and synthetic streams: the steps and tokens of the papers' configurations, to the token."""

import pytest

from data_tools.errors import InputError
from megatron_ext.config import run_from_dict
from megatron_ext.plan.budget import arm_budget
from megatron_ext.plan.extent import Extent
from megatron_ext.plan.samples import SamplePlan

MODEL = {"layers": 2, "hidden": 32, "ffn": 64, "heads": 4, "kv_heads": 2, "vocabulary": 400}
EPOCH = 777 * 64 * 4096
"""Tokens of the paper's real corpus that fill whole steps."""


def run(**blend):
    weights = blend.get("weights", {"megadocs": 0.75})
    return run_from_dict(
        {
            "model": MODEL,
            "sources": {"real": {"corpus": "real"}} | {name: {"corpus": name, "kind": "megadocs"} for name in weights},
            "blend": {"epochs": 16, "steps_per_epoch": 777, "weights": weights} | blend,
            "batch": {"sequence_length": 4096, "global_batch": 64, "micro_batch": 4},
            "schedule": {"peak_lr": 0.003, "end_lr": 0.0},
        },
        where="test",
    )


@pytest.mark.parametrize(("epochs", "weight", "steps"), [
    (16, 0.75, 49_728), (32, 0.9, 248_640), (8, 0.5, 12_432), (1, 0.5, 1_554), (1, 0.9, 7_770), (3, 0.7, 7_770),
    (1, 0.3, 1_110), (5, 0.36, 6_070),
])  # fmt: skip
def test_total_steps_are_the_papers(epochs, weight, steps):
    config = run(epochs=epochs, weights={"megadocs": weight})
    assert config.steps == steps == int(777 * epochs * 100 / (100 - round(weight * 100)))
    assert config.tokens == steps * 64 * 4096


@pytest.mark.parametrize(("epochs", "weight"), [(16, 0.75), (32, 0.9), (8, 0.5)])
def test_the_real_stream_is_read_exactly_its_epochs(epochs, weight):
    config = run(epochs=epochs, weights={"megadocs": weight})
    extents = {"real": Extent.of_windows(EPOCH + 77, 4096), "megadocs": Extent.of_windows(40 * EPOCH, 4096)}
    budget = arm_budget(config, extents)["sources"]
    assert budget["real"]["trained"] == epochs * EPOCH
    assert budget["real"]["epochs"] == epochs
    assert budget["megadocs"]["trained"] == config.tokens - epochs * EPOCH
    plan = SamplePlan.of(config, extents)
    assert plan.rows_before(plan.samples)["real"] == epochs * 777 * 64


def test_several_synthetic_streams_get_their_weights():
    config = run(epochs=4, weights={"stitched": 0.5, "thoughts": 0.25})
    tokens = config.mixture[0].tokens
    assert config.steps == 777 * 16
    assert tokens == {"real": 4 * EPOCH, "stitched": 8 * EPOCH, "thoughts": 4 * EPOCH}


def test_steps_per_epoch_that_the_corpus_does_not_have_are_refused_with_the_right_number():
    extents = {"real": Extent.of_windows(EPOCH - 1, 4096), "megadocs": Extent.of_windows(40 * EPOCH, 4096)}
    with pytest.raises(InputError, match="found 777, expected 776"):
        SamplePlan.of(run(), extents)


@pytest.mark.parametrize("blend", [
    {"weights": {"real": 0.5}}, {"weights": {"a": 0.5, "b": 0.5}}, {"weights": {"a": 1.0}}, {"epochs": 0},
    {"real": "other"},
])  # fmt: skip
def test_what_is_no_blend_is_refused(blend):
    with pytest.raises(InputError):
        run(**blend)


def test_tokens_beside_a_blend_are_refused():
    settings = {
        "model": MODEL, "sources": {"real": {"corpus": "real", "tokens": 64 * 4096}, "m": {"corpus": "m"}},
        "blend": {"epochs": 1, "steps_per_epoch": 1, "weights": {"m": 0.5}},
        "batch": {"sequence_length": 4096, "global_batch": 64, "micro_batch": 4},
        "schedule": {"peak_lr": 0.003, "end_lr": 0.0},
    }  # fmt: skip
    with pytest.raises(InputError, match="beside tokens"):
        run_from_dict(settings, where="test")
