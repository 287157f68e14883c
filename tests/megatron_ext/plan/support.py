"""Runs of few rows for the tests of plans, and all that a plan says about them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st

from megatron_ext.config import (
    BatchConfig,
    ModelConfig,
    PhaseConfig,
    RampStage,
    RunConfig,
    ScheduleConfig,
    SourceConfig,
)
from megatron_ext.plan.extent import Extent
from megatron_ext.plan.samples import Sample, SamplePlan

LENGTH = 8
MODEL = ModelConfig(layers=2, hidden=64, ffn=128, heads=4, kv_heads=2, vocabulary=512)
Mixture = Mapping[str, int]
MIXTURES = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 60), min_size=1)
PHASES = st.lists(st.tuples(MIXTURES, st.integers(1, 200)), min_size=1, max_size=4)
SEEDS = st.integers(0, 2**63 - 1)
BATCHES = st.builds(
    lambda size, stages: BatchConfig(
        sequence_length=LENGTH,
        global_batch=size,
        ramp=tuple(
            RampStage(until_tokens=(number + 1) * rows * LENGTH, global_batch=stage)
            for number, (rows, stage) in enumerate(sorted(stages))
        ),
    ),
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 12)), max_size=3),
)


def run(rows: Mixture, *, seed: int = 1, global_batch: int | None = None) -> RunConfig:
    """A run of one phase with so many rows from each source; by default the whole of it is one step."""
    return RunConfig(
        model=MODEL,
        sources={name: SourceConfig(corpus=Path(name), tokens=count * LENGTH) for name, count in rows.items()},
        batch=BatchConfig(sequence_length=LENGTH, global_batch=global_batch or sum(rows.values())),
        schedule=ScheduleConfig(peak_lr=0.01),
        seed=seed,
    )


def phased(phases: list[tuple[Mixture, int | None]], *, batch: BatchConfig | None = None) -> RunConfig:
    """A run of phases: rows of each source, and the row after which it is stopped or None."""
    names = {name for mixture, _ in phases for name in mixture}
    return RunConfig(
        model=MODEL,
        sources={name: SourceConfig(corpus=Path(name)) for name in names},
        phases=tuple(
            PhaseConfig(
                tokens={name: count * LENGTH for name, count in mixture.items()},
                stop=None if stop is None else stop * LENGTH,
            )
            for mixture, stop in phases
        ),
        batch=batch or BatchConfig(sequence_length=LENGTH, global_batch=4),
        schedule=ScheduleConfig(peak_lr=0.01),
        seed=1,
    )


def plan_of(config: RunConfig, sizes: Mapping[str, int] | int = 100) -> SamplePlan:
    """The plan over corpora of so many tokens."""
    if isinstance(sizes, int):
        sizes = dict.fromkeys(config.sources, sizes)
    return SamplePlan.of(config, {name: Extent.of_windows(size, LENGTH) for name, size in sizes.items()})


def pair_run(rows: int) -> RunConfig:
    """A run over one source of pairs."""
    source = SourceConfig(corpus=Path("a"), tokens=rows * LENGTH, kind="pairs", pairs=Path("p"))
    return replace(run({"a": rows}), sources={"a": source})


def samples_of(plan: SamplePlan) -> list[Sample]:
    """Every sample of a plan."""
    return [plan.locate(i) for i in range(plan.samples)]
