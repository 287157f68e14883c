"""What an arm spends, and which runs and arms are refused."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.errors import InputError
from megatron_ext.config import BatchConfig, ModelConfig, RunConfig, ScheduleConfig, SourceConfig
from megatron_ext.plan.budget import arm_budget, match, settle
from megatron_ext.plan.extent import Extent
from megatron_ext.plan.samples import SamplePlan

MODEL = ModelConfig(layers=2, hidden=64, ffn=128, heads=4, kv_heads=2, vocabulary=512)
CORPUS = SourceConfig(corpus=Path("corpus"), tokens=1600)


def windows(size: int) -> Extent:
    return Extent.of_windows(size, 16)


def pairs_of(rows: int) -> Extent:
    return Extent(size=3 * rows, rows=rows, tokens=15 * rows)


def run(**sources: SourceConfig) -> RunConfig:
    return RunConfig(
        model=MODEL,
        sources=sources,
        batch=BatchConfig(sequence_length=16, global_batch=4),
        schedule=ScheduleConfig(peak_lr=0.01),
    )


def test_a_source_read_more_than_max_epochs_is_refused_with_the_shortage_in_tokens():
    config = run(synthetic=replace(CORPUS, max_epochs=1))
    settle(config, {"synthetic": windows(1600)})
    with pytest.raises(InputError, match=r"sources\.synthetic\.tokens.*at most 1488: it is short of 112 tokens"):
        settle(config, {"synthetic": windows(1500)})


def test_a_plan_is_refused_where_its_budget_is():
    with pytest.raises(InputError, match="short of 112 tokens"):
        SamplePlan.of(run(synthetic=replace(CORPUS, max_epochs=1)), {"synthetic": windows(1500)})


def test_max_epochs_bounds_pairs_as_it_bounds_windows():
    config = run(pairs=replace(CORPUS, kind="pairs", pairs=Path("pairs"), max_epochs=2))
    settle(config, {"pairs": pairs_of(50)})
    with pytest.raises(InputError, match="short of 32 tokens"):
        settle(config, {"pairs": pairs_of(49)})


@pytest.mark.parametrize("kind", ["windows", "pairs"])
def test_a_source_smaller_than_one_row_is_refused(kind):
    source = replace(CORPUS, kind=kind, pairs=Path("pairs") if kind == "pairs" else None)
    with pytest.raises(InputError, match="at least one"):
        settle(run(small=source), {"small": windows(0)})


def test_arms_of_unequal_budgets_are_refused_with_the_difference():
    arms = {"baseline": run(real=CORPUS), "sbp": run(real=replace(CORPUS, tokens=1664))}
    with pytest.raises(InputError, match="baseline and sbp: found 1600 and 1664 tokens, 64 apart"):
        match(arms)


def test_arms_of_different_models_are_refused():
    arm = run(real=CORPUS)
    with pytest.raises(InputError, match="different models"):
        match({"baseline": arm, "wide": replace(arm, model=replace(MODEL, ffn=256))})


def test_arms_that_differ_in_data_only_are_accepted():
    half = replace(CORPUS, tokens=800)
    assert match({"baseline": run(real=CORPUS), "sbp": run(real=half, synthetic=half)}) == 1600


@given(size=st.integers(16, 4000), steps=st.integers(1, 60))
def test_unique_and_repeated_tokens_are_those_that_the_plan_reads(size, steps):
    config = run(real=replace(CORPUS, tokens=64 * steps))
    plan = SamplePlan.of(config, {"real": windows(size)})
    read = {(plan.locate(i).start + s) % size for i in range(plan.samples) for s in range(16)}
    source = arm_budget(config, {"real": windows(size)})["sources"]["real"]
    assert source["unique"] + source["repeated"] == source["trained"] == config.tokens
    assert 0 <= source["unique"] - len(read) < 16
    assert source["repeated"] >= 0


def test_a_budget_names_what_each_arm_spends():
    pairs = replace(CORPUS, kind="pairs", pairs=Path("pairs"))
    budget = arm_budget(
        run(real=CORPUS, pairs=pairs), {"real": windows(800), "pairs": pairs_of(200)}, source_documents={"real": 7}
    )
    assert (budget["steps"], budget["samples"], budget["tokens"]) == (50, 200, 3200)
    real, paired = budget["sources"]["real"], budget["sources"]["pairs"]
    assert (real["unique"], real["repeated"], real["epochs"], real["documents"]) == (800, 800, 2.0, 7)
    assert (paired["unique"], paired["repeated"], paired["epochs"], paired["pairs"]) == (1600, 0, 0.5, 600)
    assert paired["filled"] == 0.9375
