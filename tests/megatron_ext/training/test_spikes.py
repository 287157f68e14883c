"""A loss far above the recent ones is reported once it can be told, with the documents of its step."""

import json
import math
import random

import pytest

from megatron_ext.training.spikes import FOLDER, WINDOW, YOUNG, LossWatch, keep_spike

noise = random.Random(3)
FALLING = [10 * math.exp(-step / 15) + 2 + noise.gauss(0, 0.05) for step in range(300)]


def reported(losses, watch=None):
    watch = watch or LossWatch(limit=6.0)
    found = [watch.see(step + 1, loss, {"real": loss}) for step, loss in enumerate(losses)]
    return [spike.step for spike in found if spike]


def test_the_fast_fall_of_a_young_run_and_its_noise_are_no_spikes():
    assert reported(FALLING) == []


def test_a_spike_is_reported_with_what_it_is_compared_to():
    watch = LossWatch(limit=6.0)
    assert reported(FALLING, watch) == []
    spike = watch.see(301, 9.0, {"real": 2.0, "synthetic": 16.0})
    assert spike.mean == pytest.approx(2.0, abs=0.05)
    assert spike.deviation == pytest.approx(0.05, abs=0.02)
    assert spike.loss_by_source == {"real": 2.0, "synthetic": 16.0}


@pytest.mark.parametrize("step", [1, YOUNG - 1, YOUNG])
def test_nothing_is_reported_before_the_loss_is_known(step):
    losses = [2.0 + (number % 2) / 10 for number in range(step)] + [50.0]
    assert reported(losses) == ([step + 1] if step >= YOUNG else [])


def test_a_loss_that_stays_higher_becomes_the_new_normal():
    higher = [3.0 + noise.gauss(0, 0.05) for _ in range(WINDOW)]
    assert len(reported(FALLING + higher)) <= 4


def test_a_resumed_run_reports_the_same():
    losses = FALLING[:250] + [9.0] + FALLING[250:]
    before = LossWatch(limit=6.0)
    assert reported(losses[:240], before) == []
    resumed = LossWatch(limit=6.0, recent=json.loads(json.dumps(before.recent)))
    assert [240 + step for step in reported(losses[240:], resumed)] == reported(losses) == [251]


def test_a_spike_is_kept_with_the_documents_of_its_step_or_not_at_all(tmp_path):
    watch = LossWatch(limit=6.0, recent=[2.0, 2.1] * 20)
    spike = watch.see(123, 9.0, {"real": 9.0})
    samples = [{"sample": number, "source": "real", "documents": [f"manual/é{number}#0"]} for number in range(3)]

    def torn():
        yield samples[0]
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        keep_spike(tmp_path, spike, torn())
    assert not list((tmp_path / FOLDER).glob("*.json"))
    path = keep_spike(tmp_path, spike, iter(samples))
    assert path == tmp_path / FOLDER / "step_00000123.json"
    kept = json.loads(path.read_text())
    assert kept["samples"] == samples
    assert (kept["step"], kept["loss"]) == (123, 9.0)
