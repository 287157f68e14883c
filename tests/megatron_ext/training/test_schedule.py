"""The learning rate: a pure function of config and step, measured in samples."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.errors import InputError
from megatron_ext.config import run_from_dict
from megatron_ext.training.schedule import learning_rate, require_schedule
from tests.support import run_settings

PEAK, END = 0.01, 0.0003
ROW = 16
TOLERANCE = 1e-12


def run(*, samples, batch=8, ramp=(), **schedule):
    settings = run_settings(Path("corpus"), steps=1)
    settings["sources"]["real"]["tokens"] = samples * ROW
    settings["batch"] = {"sequence_length": ROW, "global_batch": batch, "ramp": list(ramp)}
    settings["schedule"] = {"peak_lr": PEAK, "end_lr": END, **schedule}
    return run_from_dict(settings, where="test")


def rates(config):
    return [learning_rate(config, step) for step in range(config.steps)]


@st.composite
def schedules(draw):
    """Runs of any length, batch and ramp, whose warm-up and cooldown fit."""
    samples, batch = draw(st.integers(1, 400)), draw(st.integers(1, 16))
    ramp = [{"until_tokens": draw(st.integers(1, 100)) * ROW, "global_batch": draw(st.integers(1, 8))}]
    warmup, cooldown = draw(st.floats(0, 0.5)), draw(st.floats(0, 0.5))
    unit = draw(st.sampled_from(["share", "tokens"]))
    if unit == "tokens":
        warmup, cooldown = int(warmup * samples * ROW), int(cooldown * samples * ROW)
    return run(
        samples=samples, batch=batch, ramp=draw(st.sampled_from([[], ramp])), warmup={unit: warmup},
        cooldown={unit: cooldown}, decay=draw(st.sampled_from(["cosine", "linear", "wsd", "constant"])),
    )  # fmt: skip


@given(schedules())
def test_no_rate_is_above_the_peak_or_rises_after_it(config):
    require_schedule(config)
    found = rates(config)
    assert 0 < max(found) <= PEAK
    top = found.index(max(found))
    assert found[: top + 1] == sorted(found[: top + 1])
    assert all(
        later <= earlier * (1 + TOLERANCE) for earlier, later in zip(found[top:], found[top + 1 :], strict=False)
    )


@given(schedules())
def test_a_rate_that_decays_is_exactly_end_lr_in_the_last_step(config):
    found = rates(config)
    if config.schedule.decay == "constant":
        assert found[-1] == PEAK
    elif found.count(PEAK) and found[-1] != PEAK:
        assert found[-1] == END


@pytest.mark.parametrize("decay", ["cosine", "linear", "wsd"])
def test_a_decaying_run_of_some_steps_ends_at_end_lr(decay):
    assert rates(run(samples=75, decay=decay, warmup=0.1, cooldown=0.3))[-1] == END


@given(steps=st.integers(2, 80), warmup=st.integers(0, 40))
def test_a_constant_batch_follows_the_usual_formula_in_steps(steps, warmup):
    warmup = min(warmup, steps)
    config = run(samples=8 * steps, warmup={"steps": warmup})
    for step, found in enumerate(rates(config)):
        progress = min(1.0, (step - warmup) / max(1, steps - 1 - warmup))
        expected = END + (PEAK - END) * (1 + math.cos(math.pi * progress)) / 2
        if step < warmup:
            expected = PEAK * (step + 1) / warmup
        assert found == pytest.approx(expected, rel=TOLERANCE)


def test_a_ramp_of_the_batch_does_not_bend_the_rate():
    """Step 8 of the ramped run begins where step 4 of the other does: both are at the same rate."""
    ramp = [{"until_tokens": 32 * ROW, "global_batch": 4}]
    plain, ramped = run(samples=160, warmup=0.1), run(samples=160, warmup=0.1, ramp=ramp)
    assert ramped.batch.first_sample(8) == plain.batch.first_sample(4) == 32
    assert rates(ramped)[8:] == rates(plain)[4:]
    assert rates(ramped)[0] == pytest.approx(PEAK * 4 / 16)


def test_a_warmup_in_steps_counts_the_steps_of_the_ramp():
    ramp = [{"until_tokens": 8 * ROW, "global_batch": 2}]
    found = rates(run(samples=160, ramp=ramp, warmup={"steps": 4}))
    assert found[:4] == pytest.approx([PEAK * part / 4 for part in (1, 2, 3, 4)])
    assert found[4] == PEAK


def test_wsd_stays_at_its_peak_and_falls_in_a_line_over_the_cooldown():
    found = rates(run(samples=80, decay="wsd", warmup={"steps": 2}, cooldown={"steps": 4}))
    assert found[1:7] == [PEAK] * 6
    assert found[6:] == pytest.approx([PEAK - (PEAK - END) * part / 3 for part in range(4)])


@pytest.mark.parametrize("schedule", [
    {"warmup": {"steps": 11}},
    {"warmup": {"tokens": 81 * ROW}},
    {"decay": "wsd", "warmup": 0.95, "cooldown": 0.1},
    {"decay": "wsd", "warmup": 0.0, "cooldown": {"steps": 11}},
])  # fmt: skip
def test_a_schedule_longer_than_its_run_is_refused(schedule):
    with pytest.raises(InputError, match=r"at most the run's 1280 tokens \(10 steps\)"):
        require_schedule(run(samples=80, **schedule))


def test_shares_that_fill_the_run_are_accepted():
    require_schedule(run(samples=77, decay="wsd", warmup=0.9, cooldown=0.1))
