"""What a reader has to know before believing a comparison: where arms don't match, and what is wrong with the data."""

from collections.abc import Iterator, Mapping
from typing import Any

from megatron_ext.report.arms import Arm
from megatron_ext.report.files import Files
from megatron_ext.report.scores import HELDOUT

MATCHED = {"tokens trained": ("tokens", "trained"), "parameters": ("parameters",), "training FLOPs": ("flops",)}
"""What arms have to share -> where it stands among their numbers."""
SLIGHT = 1e-3
"""Relative difference of FLOPs that comes from rounding to whole steps."""
SHARED_SETTINGS = ("model", "batch", "optimizer", "schedule", "seed", "precision", "layout")
"""Sections of a run that arms share; in another layout losses differ in their last digits."""


def flags_of(arms: Mapping[str, Arm], experiment: Files, quality: Mapping[str, Any] | None) -> list[str]:
    """A sentence for each, the gravest first."""
    return [
        *_budgets(arms), *_settings(arms), *_tokenizers(arms, experiment), *_evaluations(arms), *_unfinished(arms),
        *_repeated(arms), *_quality(quality),
    ]  # fmt: skip


def _budgets(arms: Mapping[str, Arm]) -> Iterator[str]:
    for title, keys in MATCHED.items():
        values = {}
        for name, arm in arms.items():
            value: Any = arm.numbers
            for key in keys:
                value = value[key]
            values[name] = value
        if values and max(values.values()) - min(values.values()) > SLIGHT * min(values.values()):
            yield f"The arms don't match in {title}: {_told(values)}."


def _settings(arms: Mapping[str, Arm]) -> Iterator[str]:
    for section in SHARED_SETTINGS:
        values = {name: arm.config[section] for name, arm in arms.items() if section in arm.config}
        if len({repr(value) for value in values.values()}) > 1:
            yield f"The arms differ in `{section}`; see their configs below."


def _tokenizers(arms: Mapping[str, Arm], experiment: Files) -> Iterator[str]:
    found: dict[str, str] = {}
    for name, arm in arms.items():
        for source, settings in arm.config.get("sources", {}).items():
            hashed = _tokenizer(experiment, settings.get("corpus", ""))
            if hashed:
                found[f"{name}, {source}"] = hashed
    heldout = _tokenizer(experiment, "corpus_heldout")
    if heldout:
        found["held-out text"] = heldout
    if len(set(found.values())) > 1:
        yield f"Tokenizers differ, so losses don't compare: {_told(found)}."


def _tokenizer(experiment: Files, corpus: str) -> str | None:
    """Hash of the tokenizer that a corpus holds; None where it isn't there, as after a copy to a laptop."""
    outputs = (experiment.at(corpus).json("manifest.json") or {}).get("outputs", {})
    return next((hashed for name, hashed in sorted(outputs.items()) if name.startswith("tokenizer")), None)


def _evaluations(arms: Mapping[str, Arm]) -> Iterator[str]:
    names = {name for arm in arms.values() for name in arm.scores}
    for name in sorted(names, key=lambda name: (name != HELDOUT, name)):
        asked = {arm: found.scores[name].identity for arm, found in arms.items() if name in found.scores}
        differing = sorted(
            {
                key
                for one in asked.values()
                for key in one
                if len({repr(other.get(key)) for other in asked.values()}) > 1
            }
        )
        if differing:
            values = {arm: ", ".join(f"{key} {one.get(key)}" for key in differing) for arm, one in asked.items()}
            yield f"{_named(name)} was not measured alike, so its figures don't compare: {_told(values)}."
    for name, arm in arms.items():
        measured, steps = arm.numbers["checkpoint"], arm.numbers["steps"]
        if measured and measured != f"step_{steps:08}":
            yield f"{name} was evaluated at {measured}, not at its last step, {steps}: evaluate it again."


def _unfinished(arms: Mapping[str, Arm]) -> Iterator[str]:
    for name, arm in arms.items():
        if not arm.finished and arm.scores:
            yield f"{name} has figures, but its run is not finished."


def _repeated(arms: Mapping[str, Arm]) -> Iterator[str]:
    for name, arm in arms.items():
        repeated = arm.numbers["sources"].get("synthetic", {}).get("repeated", 0)
        if repeated:
            yield f"{name} reads {repeated:,} synthetic tokens more than once."


def _quality(quality: Mapping[str, Any] | None) -> Iterator[str]:
    if not quality:
        return
    verdict = quality.get("verdict")
    if verdict and not verdict["go"]:
        yield f"The synthetic corpus is no go: {'; '.join(verdict['reasons'])}."
    for measure, what in (("heldout_overlap", "held-out document"), ("benchmark_overlap", "benchmark's item")):
        found = quality["measures"].get(measure)
        if found and found["count"]:
            yield f"{found['count']:,} of {found['of']:,} synthetic documents share 13 words in a row with a {what}."


def _named(name: str) -> str:
    return "Held-out text" if name == HELDOUT else name


def _told(values: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{name} {value:,}" if isinstance(value, int | float) else f"{name}: {value}" for name, value in values.items()
    )
