"""A run's `results.json`: what it was found to be worth, each result beside those of other evaluations. No torch."""

import json
from pathlib import Path
from typing import Any

from data_tools.files import write_whole

RESULTS = "results.json"
ITEMS = "evaluation"
"""Folder beside it, in which a file for each task says what was found of every item."""


def record(run: Path, name: str, value: Any) -> None:
    """Put one result in, in place of an earlier one of that name."""
    write_whole(run / RESULTS, json.dumps(recorded(run) | {name: value}, indent=1) + "\n")


def record_within(run: Path, name: str, values: dict[str, Any]) -> None:
    """Put results under one name, beside those that stand there and aren't among them."""
    record(run, name, recorded(run).get(name, {}) | values)


def record_items(run: Path, task: str, rows: list[dict[str, Any]]) -> None:
    """Keep what was found of every item of a task."""
    write_whole(run / ITEMS / f"{task}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def recorded(run: Path) -> dict[str, Any]:
    """What is known of a run so far."""
    path = run / RESULTS
    return json.loads(path.read_text()) if path.exists() else {}
