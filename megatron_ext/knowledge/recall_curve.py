"""Fact recall of several models beside each other: accuracy against the logarithm of the synthetic tokens they saw.

Everything is read from the folders that `data_tools.recall.run` made, so models may be added one at a time. Only models
that were asked the same questions in the same way are compared; others are named and left out.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.manifest import Manifest, is_finished, read_manifest
from data_tools.files import write_whole

STEP = "recall"
WAYS = ("closed_book", "rag")
JSON = "recall.json"
FEWEST_FITTED = 3
"""Models with synthetic tokens; through two points a line always goes."""


def collect(folder: Path, *, newest: str, tokens: Mapping[str, tuple[int, int] | None]) -> dict[str, Any]:
    """The models of a folder, by their synthetic tokens.

    Args:
        folder: with a folder for each model.
        newest: the model that the others are compared with.
        tokens: model -> (unique, trained) synthetic tokens, as far as they are known now; what was known before and is
            not named here stays.

    Returns:
        {"measure", "questions", "examples", "models", "lines", "left_out"}. Each model: {"name", "synthetic_tokens",
        "trained_synthetic_tokens", "closed_book", "rag"}, sorted by tokens. Each line: {"slope", "intercept",
        "models"}: accuracy = intercept + slope log10(tokens), None where fewer than three models have tokens.
    """
    before = _before(folder)
    known = {name: before.get(name) for name in before} | {name: pair for name, pair in tokens.items() if pair}
    made = {path.name: read_manifest(path) for path in sorted(folder.iterdir()) if is_finished(path)}
    made = {name: manifest for name, manifest in made.items() if manifest.step == STEP}
    wanted = _way(made[newest])
    models = [_model(name, manifest, known.get(name)) for name, manifest in made.items() if _way(manifest) == wanted]
    models.sort(key=lambda model: (model["synthetic_tokens"] or 0, model["name"]))
    counts = made[newest].counts
    measure = "judged" if "judged" in counts["closed_book"] else "exact_match"
    return {
        "measure": measure, "questions": counts["questions"], "examples": counts["examples"], "models": models,
        "lines": {way: line(points_of(models, way, measure)) for way in WAYS if way in counts},
        "left_out": sorted(set(made) - {model["name"] for model in models}), "settings": made[newest].settings,
    }  # fmt: skip


def write_json(folder: Path, found: Mapping[str, Any]) -> Path:
    """Write `recall.json`, which later calls read the tokens from; returns its path."""
    write_whole(folder / JSON, json.dumps(found, indent=1) + "\n")
    return folder / JSON


def points_of(models: list[dict[str, Any]], way: str, measure: str) -> list[tuple[int, float]]:
    """(synthetic tokens, accuracy) of each model that saw some."""
    return [(model["synthetic_tokens"], model[way][measure]["value"]) for model in models if model["synthetic_tokens"]]


def line(points: list[tuple[int, float]]) -> dict[str, float] | None:
    """The line through accuracy over log10(tokens) with the least squares; None for too few different points."""
    if len({tokens for tokens, _ in points}) < FEWEST_FITTED:
        return None
    slope, intercept = np.polyfit([math.log10(tokens) for tokens, _ in points], [value for _, value in points], 1)
    return {"slope": float(slope), "intercept": float(intercept), "models": len(points)}


def _before(folder: Path) -> dict[str, tuple[int, int] | None]:
    path = folder / JSON
    models = json.loads(path.read_text())["models"] if path.is_file() else []
    return {model["name"]: (model["synthetic_tokens"], model["trained_synthetic_tokens"]) for model in models}


def _way(manifest: Manifest) -> tuple[Any, ...]:
    """What was asked, and how: all but the model."""
    return manifest.inputs, {name: value for name, value in manifest.settings.items() if name != "model"}


def _model(name: str, manifest: Manifest, tokens: tuple[int, int] | None) -> dict[str, Any]:
    unique, trained = tokens or (None, None)
    counts = {way: manifest.counts[way] for way in WAYS if way in manifest.counts}
    return {"name": name, "synthetic_tokens": unique, "trained_synthetic_tokens": trained, **counts}
