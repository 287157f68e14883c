"""Parallel layouts change no loss: real processes over gloo, Megatron-core's own schedules and optimizer.

Every layout starts from the same weights, drawn from the seed, and takes the same steps.
"""

import pytest

from tests.support import MODEL, make_corpus, run_settings, train_many

STEPS = 6
IN_ONE_PROCESS = {
    "whole layers computed again": {"recompute": "full"},
    "attention computed again": {"recompute": "selective"},
}
IN_TWO = {
    "tensor 2": {"tensor": 2},
    "tensor 2, sequence parallel": {"tensor": 2, "sequence_parallel": True},
    "pipeline 2": {"pipeline": 2},
    "interleaved pipeline 2": {"pipeline": 2, "chunks": 2},
    "data 2": {},
    "data 2, nothing overlapped": {"overlap": False},
}
IN_FOUR = {
    "tensor 2 x pipeline 2": {"tensor": 2, "pipeline": 2},
    "tensor 2, sequence parallel, x interleaved pipeline 2": {
        "tensor": 2, "sequence_parallel": True, "pipeline": 2, "chunks": 2,
    },
    "data 2 x tensor 2": {"tensor": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Name of a layout -> its losses."""
    folder = tmp_path_factory.mktemp("layouts")
    settings = run_settings(make_corpus(folder), steps=STEPS, model=MODEL | {"layers": 4})

    def runs(layouts):
        return {name: settings | {"layout": layout} for name, layout in layouts.items()}

    bf16 = {"bf16": settings | {"precision": "bf16"}}
    return (
        train_many(folder, runs({"alone": {}} | IN_ONE_PROCESS))
        | train_many(folder, runs(IN_TWO) | bf16, processes=2)
        | train_many(folder, runs(IN_FOUR), processes=4)
    )


@pytest.mark.parametrize("name", [*IN_ONE_PROCESS, *IN_TWO, *IN_FOUR])
def test_a_layout_changes_no_loss(name, trained):
    assert len(trained[name]) == STEPS
    assert trained[name] == pytest.approx(trained["alone"], rel=1e-5)


def test_bf16_with_fp32_main_weights_follows_fp32(trained):
    assert trained["bf16"] == pytest.approx(trained["alone"], rel=0.02)
    assert trained["bf16"] != trained["alone"]
