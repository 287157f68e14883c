"""The runs of an experiment (baseline, synthesizer, SBP, oracle) as the settings of run files.

They differ in data and, of the synthesizer, in what tuning needs; all else is the experiment's. What a run depends on
need not be there yet: then the SBP arm is planned with as many synthetic tokens as the experiment asks for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data_tools.corpus.manifest import is_finished, read_manifest
from data_tools.errors import InputError
from data_tools.files import write_whole
from data_tools.workers import HERE, Team
from megatron_ext.config import ExperimentConfig, RunConfig, as_dict, run_from_dict

Settings = dict[str, Any]


@dataclass(frozen=True)
class Demo:
    """The stages' common ground."""

    config: ExperimentConfig
    folder: Path
    crew: Team = HERE
    """Who does work that can be parted."""
    synthesized: bool = True
    """Whether a synthetic corpus that is there is the one that the SBP arm will train on."""

    def at(self, name: str) -> Path:
        return self.folder / name


def write_run_file(demo: Demo, stage: str, path: Path) -> Path:
    """Write the run file of a stage; returns it."""
    write_whole(path, yaml.safe_dump(settings_of(demo, stage), sort_keys=False))
    return path


def planned_run(demo: Demo, stage: str) -> RunConfig:
    """The run of a stage, as far as it is known.

    Raises:
        InputError: it can't be made of the experiment's settings.
    """
    return run_from_dict(settings_of(demo, stage), where=f"{demo.config.name}, stage {stage}")


def settings_of(demo: Demo, stage: str) -> Settings:
    """The settings of a stage's run; W&B shows the runs of an experiment as a group."""
    settings = RUNS[stage](demo)
    tracking, named = settings["tracking"], {"group": demo.config.name, "job_type": stage}
    return settings | {"tracking": tracking | {key: tracking[key] or value for key, value in named.items()}}


def synthetic_tokens(demo: Demo) -> int:
    """That the SBP arm trains on: the experiment's share of its budget, or what synthesis has brought, in whole rows.

    Raises:
        InputError: synthesis brought less than a row.
    """
    length, corpus = demo.config.batch.sequence_length, demo.at("corpus_synthetic")
    asked = int(demo.config.synthetic_share * demo.config.budget_tokens)
    available = read_manifest(corpus).counts["tokens"] if demo.synthesized and is_finished(corpus) else asked
    if synthetic := min(available, asked) // length * length:
        return synthetic
    raise InputError(
        where=str(corpus), found=f"{available} synthetic tokens", expected=f"at least one sample of {length}",
        fix="Ask for more documents: synthesis.documents in the experiment file.",
    )  # fmt: skip


def _baseline(demo: Demo) -> Settings:
    return _arm(demo, {"real": {"corpus": demo.at("corpus_subset"), "tokens": demo.config.budget_tokens}})


def _synthesizer(demo: Demo) -> Settings:
    tuning = demo.config.tuning
    source = {
        "corpus": demo.at("corpus_subset"), "pairs": demo.at("pairs"), "kind": "pairs", "tokens": tuning.tokens,
    }  # fmt: skip
    return _arm(demo, {"pairs": source}) | {
        "batch": as_dict(tuning.batch),
        "schedule": {
            "peak_lr": tuning.learning_rate, "end_lr": tuning.learning_rate, "warmup": 0.0, "decay": "constant",
        },
        "init_from": str(demo.at("arms/baseline").resolve()),
    }  # fmt: skip


def _sbp(demo: Demo) -> Settings:
    """Every synthetic token once; the real documents for the rest of the budget."""
    synthetic = synthetic_tokens(demo)
    return _arm(demo, {
        "real": {"corpus": demo.at("corpus_subset"), "tokens": demo.config.budget_tokens - synthetic},
        "synthetic": {"corpus": demo.at("corpus_synthetic"), "tokens": synthetic, "max_epochs": 1},
    })  # fmt: skip


def _oracle(demo: Demo) -> Settings:
    return _arm(demo, {"real": {"corpus": demo.at("corpus_all"), "tokens": demo.config.budget_tokens}})


def _longer(demo: Demo) -> Settings:
    """The baseline, for as much compute as SBP takes in all."""
    from megatron_ext.cli.demo_costs import tokens_for_all_of_sbp

    tokens = tokens_for_all_of_sbp(demo.config, demo.at("corpus_synthetic") if demo.synthesized else None)
    return _arm(demo, {"real": {"corpus": demo.at("corpus_subset"), "tokens": tokens}})


def _arm(demo: Demo, sources: dict[str, dict[str, Any]]) -> Settings:
    """A run's settings: what the arms share, and the sources in which they differ."""
    shared = as_dict(demo.config)
    keys = (
        "model",
        "batch",
        "schedule",
        "optimizer",
        "layout",
        "checkpoint",
        "tracking",
        "limits",
        "seed",
        "precision",
    )
    resolved = {
        name: {key: str(value.resolve()) if isinstance(value, Path) else value for key, value in source.items()}
        for name, source in sources.items()
    }
    asked = demo.config.evaluation
    tasks = [str(task.resolve()) for task in asked.tasks]
    live = {"tasks": tasks, "every": asked.every, "most_items": asked.most_items}
    evaluation = {"evaluation": live} if tasks and asked.every else {}
    return {"sources": resolved} | {key: shared[key] for key in keys} | evaluation


RUNS: dict[str, Callable[[Demo], Settings]] = {
    "baseline": _baseline, "synthesizer": _synthesizer, "sbp": _sbp, "oracle": _oracle,
    "longer": _longer,
}  # fmt: skip
ARMS = ("baseline", "sbp", "oracle")
"""Those that are compared."""
LONGER = "baseline_flops"
"""The baseline trained on, in a folder of this name."""
