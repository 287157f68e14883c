"""Parallel layouts change no loss: real processes over gloo, Megatron-core's own schedules and optimizer."""

import pytest

from tests.support import make_corpus, run_settings, train


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run that gives the first weights, and one process that goes on from them."""
    folder = tmp_path_factory.mktemp("layouts")
    settings = run_settings(make_corpus(folder), steps=2)
    train(folder / "first", settings)
    settings = run_settings(folder / "corpus", steps=4, init_from=str(folder / "first"))
    return folder, settings, train(folder / "alone", settings)


@pytest.mark.parametrize("layout", [{"tensor": 2}, {"pipeline": 2}, {}], ids=["tensor 2", "pipeline 2", "data 2"])
def test_a_parallel_layout_changes_no_loss(layout, alone):
    folder, settings, expected = alone
    name = "-".join(layout) or "data"
    found = train(folder / name, settings | {"layout": layout}, processes=2)
    assert found == pytest.approx(expected, rel=1e-5)


def test_bf16_with_fp32_main_weights_follows_fp32(alone):
    folder, settings, expected = alone
    found = train(folder / "bf16", settings | {"precision": "bf16"}, processes=2)
    assert found == pytest.approx(expected, rel=0.01)
    assert found != expected
