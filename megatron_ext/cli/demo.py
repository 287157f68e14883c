"""The demo: the whole way of the data on the embedded corpus, one stage after another.

Started again, a stage whose manifest names the same inputs and settings is passed over; one that was killed goes on
from its last finished shard, answer or checkpoint.
"""

import json
import time
from dataclasses import replace
from pathlib import Path

from data_tools.errors import InputError
from data_tools.files import locked, remove_artifact, write_whole
from megatron_ext.cli.demo_judging import require_judging
from megatron_ext.cli.demo_runs import Demo
from megatron_ext.cli.demo_stages import STAGES, artifacts_of, stages_of
from megatron_ext.cli.output import say
from megatron_ext.config import ExperimentConfig, as_dict, load_experiment, require_ranks

QUICK = {"heldout": 1 / 4, "subset": 1 / 4, "budget": 1 / 8, "tuning": 1 / 8, "documents": 1 / 8, "new_tokens": 1 / 4}
"""What the shortened demo does of the whole one: to embed and to evaluate all pages took two fifths of its time."""


def run_demo(experiment: Path, output: Path, *, quick: bool = False, force: list[str] | None = None) -> Path:
    """Run what is not finished yet, and write the report; returns its path.

    Args:
        experiment: experiment file.
        output: experiment folder.
        quick: a shortened version, an eighth of the tokens.
        force: names of stages to do again.

    Raises:
        InputError: the file, the corpus, the stage's name or the folder's contents can't be used.
        EndedEarly: training or evaluation failed.
    """
    config = shortened(load_experiment(experiment)) if quick else load_experiment(experiment)
    require_judging(config)
    require_ranks(config.layout, config.processes, where=f"{experiment}, key 'layout'")
    with locked(output):
        _run_stages(Demo(config, output), quick=quick, force=force or [])
    return output / "report.html"


def _run_stages(demo: Demo, *, quick: bool, force: list[str]) -> None:
    _forget(demo, force)
    describe(demo, quick=quick)
    stages = stages_of(demo.config)
    for number, (name, stage) in enumerate(stages.items(), start=1):
        started = time.monotonic()
        say(f"[{number:2}/{len(stages)}] {name}: {stage.title}")
        summary = STAGES[name][0](demo)
        say(f"        {summary} ({time.monotonic() - started:.1f} s)")


def describe(demo: Demo, *, quick: bool = False) -> None:
    """Write down what the experiment is: `experiment.json`, which the report reads."""
    config = demo.config
    described = {
        "name": config.name, "seed": config.seed, "budget_tokens": config.budget_tokens,
        "processes": config.processes, "quick": quick, "artifacts": artifacts_of(config), "config": as_dict(config),
    }  # fmt: skip
    write_whole(demo.at("experiment.json"), json.dumps(described, indent=1) + "\n")


def shortened(config: ExperimentConfig) -> ExperimentConfig:
    """The same experiment at an eighth of the tokens and a quarter of the pages: every stage runs, little is learnt."""

    def part(tokens: int, share: float, per_step: int) -> int:
        return max(per_step, int(tokens * share) // per_step * per_step)

    data, synthesis, tuning = config.data, config.synthesis, config.tuning
    heldout, subset = data.heldout_share * QUICK["heldout"], data.subset_share * QUICK["subset"]
    return replace(
        config,
        data=replace(data, heldout_share=heldout, subset_share=subset),
        budget_tokens=part(config.budget_tokens, QUICK["budget"], config.batch.tokens_per_step),
        tuning=replace(tuning, tokens=part(tuning.tokens, QUICK["tuning"], tuning.batch.tokens_per_step)),
        synthesis=replace(
            synthesis,
            documents=synthesis.documents and max(1, int(synthesis.documents * QUICK["documents"])),
            budget_tokens=synthesis.budget_tokens and max(1, int(synthesis.budget_tokens * QUICK["documents"])),
            max_new_tokens=max(1, int(synthesis.max_new_tokens * QUICK["new_tokens"])),
        ),
    )


def _forget(demo: Demo, force: list[str]) -> None:
    for name in force:
        if name not in STAGES:  # before anything is removed
            raise InputError(
                where="--force", found=repr(name), expected="one of " + ", ".join(STAGES), fix="Name a stage."
            )
    for name in force:
        stage = STAGES[name][1]
        for folder in (*stage.made_by(name), *stage.kept):
            remove_artifact(demo.at(folder))
