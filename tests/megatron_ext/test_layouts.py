"""Parallel layouts change no loss: real processes over gloo, Megatron-core's own schedules and optimizer.

Every layout starts from the same weights, drawn from the seed, and takes the same steps.
"""

import pytest

from tests.support import MODEL, make_corpus, run_settings, train

STEPS = 20
LAYOUTS = {
    "tensor 2": (2, {"tensor": 2}),
    "tensor 2, sequence parallel": (2, {"tensor": 2, "sequence_parallel": True}),
    "pipeline 2": (2, {"pipeline": 2}),
    "interleaved pipeline 2": (2, {"pipeline": 2, "chunks": 2}),
    "data 2": (2, {}),
    "data 2, nothing overlapped": (2, {"overlap": False}),
    "whole layers computed again": (1, {"recompute": "full"}),
    "attention computed again": (1, {"recompute": "selective"}),
    "tensor 2 x pipeline 2": (4, {"tensor": 2, "pipeline": 2}),
}
"""Name -> processes and layout."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run in one process."""
    folder = tmp_path_factory.mktemp("layouts")
    settings = run_settings(make_corpus(folder), steps=STEPS, model=MODEL | {"layers": 4})
    return folder, settings, train(folder / "alone", settings)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_parallel_layout_changes_no_loss(name, alone):
    folder, settings, expected = alone
    processes, layout = LAYOUTS[name]
    found = train(folder / name, settings | {"layout": layout}, processes=processes)
    assert len(found) == STEPS
    assert found == pytest.approx(expected, rel=1e-5)


def test_bf16_with_fp32_main_weights_follows_fp32(alone):
    folder, settings, expected = alone
    found = train(folder / "bf16", settings | {"precision": "bf16"}, processes=2)
    assert found == pytest.approx(expected, rel=0.02)
    assert found != expected
