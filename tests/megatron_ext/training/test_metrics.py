"""The figures of a step are what they say they are, and absent where they can't be known."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from megatron_ext.config import run_from_dict
from megatron_ext.plan.cost import training_flops
from megatron_ext.training.metrics import Lap, Metrics, StepClock, StepLoss
from megatron_ext.training.peaks import peak_flops
from tests.support import run_settings

LAP = Lap(seconds=0.5, data=0.1, checkpoint=0.25)


def config(**changes):
    settings = run_settings(Path("corpus"), steps=10, **changes)
    settings["sources"]["synthetic"] = settings["sources"]["real"] | {"max_epochs": 1}
    return run_from_dict(settings, where="test")


def metrics(gpu=None, **changes):
    return Metrics(
        config(**changes),
        ranks=4,
        gpu=gpu,
        rows_per_epoch={"real": 20, "synthetic": 160},
        documents={"real": 50, "synthetic": 400},
    )


def record(of, step, sums):
    loss = StepLoss.of(["real", "synthetic"], sums)
    rows = {"real": 4 * step, "synthetic": 4 * step}
    return of.record(step, loss, LAP, lr=0.01, grad_norm=1.5, rows=rows, skipped=1)


def test_the_loss_is_the_mean_over_trained_tokens_in_all_and_per_source():
    loss = StepLoss.of(["absent", "real", "synthetic"], [(0.0, 0.0), (60.0, 30.0), (40.0, 10.0)])
    assert (loss.loss, loss.trained) == (2.5, 40)
    assert loss.by_source == {"real": 2.0, "synthetic": 4.0}


def test_a_step_without_any_trained_token_has_a_loss_of_0():
    assert StepLoss.of(["real"], [(0.0, 0.0)]) == StepLoss(0.0, 0, {}, {})


def test_a_record_counts_tokens_trained_tokens_and_epochs_of_every_source():
    run = metrics()
    record(run, 1, [(60.0, 30.0), (40.0, 10.0)])
    found = record(run, 2, [(60.0, 30.0), (0.0, 0.0)])
    assert (found["step"], found["tokens"], found["trained_tokens"]) == (2, 256, 30)
    assert (found["trained/real"], found["trained/synthetic"]) == (60, 10)
    assert (found["epochs/real"], found["epochs/synthetic"]) == (0.4, 0.05)
    assert (found["documents/real"], found["documents/synthetic"]) == (20, 20)
    assert found["loss/real"] == 2.0
    assert "loss/synthetic" not in found


def test_a_resumed_run_goes_on_counting():
    before = metrics()
    record(before, 1, [(60.0, 30.0), (40.0, 10.0)])
    resumed = Metrics(before.config, 4, None, before.rows_per_epoch, before.documents, trained=before.trained)
    assert record(resumed, 2, [(60.0, 30.0), (40.0, 10.0)])["trained/real"] == 60


def test_speed_leaves_out_the_checkpoint_and_shows_it_beside():
    found = record(metrics(), 1, [(60.0, 30.0), (40.0, 10.0)])
    assert (found["tokens_per_second"], found["data_wait"], found["checkpoint_seconds"]) == (256.0, 0.2, 0.25)
    assert found["memory_resident"] > 10**7


def test_time_of_observers_is_shown_beside_the_speed_of_a_step_that_had_some():
    run, loss = metrics(), StepLoss.of(["real", "synthetic"], [(60.0, 30.0), (40.0, 10.0)])
    rows = {"real": 4, "synthetic": 4}
    lap = Lap(seconds=0.5, data=0.1, checkpoint=0.25, observers=0.125)
    found = run.record(1, loss, lap, lr=0.01, grad_norm=1.5, rows=rows, skipped=1)
    assert (found["tokens_per_second"], found["data_wait"], found["probe_seconds"]) == (256.0, 0.2, 0.125)
    assert "probe_seconds" not in record(metrics(), 1, [(60.0, 30.0), (40.0, 10.0)])


def test_a_last_step_that_is_cut_short_counts_its_own_tokens():
    batch = {"sequence_length": 16, "global_batch": 12, "micro_batch": 2}
    found = record(metrics(batch=batch), 14, [(60.0, 30.0), (40.0, 10.0)])  # 160 samples: 13 steps of 12, and 4
    assert found["tokens"] == 160 * 16
    assert found["tokens_per_second"] == 4 * 16 / 0.5


def test_mfu_is_given_for_known_gpus_in_the_precision_of_the_run_only():
    run = metrics(gpu="NVIDIA H200", precision="bf16")
    found = record(run, 1, [(60.0, 30.0), (40.0, 10.0)])
    flops = training_flops(run.config.model, 128, 16)
    assert found["mfu"] == pytest.approx(flops / 0.5 / 4 / 989.5e12)
    assert found["tokens_per_second_per_gpu"] == 64.0
    for unknown in (metrics(gpu="NVIDIA H200", precision="fp32"), metrics(gpu="Some GPU"), metrics()):
        assert "mfu" not in record(unknown, 1, [(60.0, 30.0), (40.0, 10.0)])


def test_fp8_is_measured_by_the_peak_of_fp8():
    assert peak_flops("NVIDIA H100 80GB HBM3", "fp8") == 2 * peak_flops("NVIDIA H100 80GB HBM3", "bf16") == 1979e12
    assert peak_flops("NVIDIA A100-SXM4-80GB", "fp8") is None


def test_the_clock_tells_waiting_for_data_from_checkpoints_observers_and_work(monkeypatch):
    now = [0.0]

    def wait(seconds):
        now[0] += seconds

    def slow():
        for number in range(3):
            wait(2.0)
            yield number

    monkeypatch.setattr("megatron_ext.training.metrics.time", SimpleNamespace(monotonic=lambda: now[0]))
    clock = StepClock()
    with clock.checkpoint():
        wait(16.0)
    with clock.observers():
        wait(32.0)
    assert list(clock.waiting(slow())) == [0, 1, 2]
    wait(1.0)
    assert clock.lap() == Lap(seconds=7.0, data=6.0, checkpoint=16.0, observers=32.0)
    assert clock.lap() == Lap(seconds=0.0, data=0.0, checkpoint=0.0, observers=0.0)
