"""The learnability threshold that a run is held against: given, or taken from the report of a run that was measured."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from data_tools.files import require_file

REPORT_FIX = "Name the knowledge.json that `megatron-ext knowledge report` wrote."


@dataclass(frozen=True)
class Threshold:
    """Steps between showings above which nothing of a fact is left at the next one."""

    steps: float
    origin: str
    """Where it is from, in words."""
    tokens_per_step: int | None = None
    """Of the run that it was measured on."""


def read_threshold(
    path: Path, *, group: str | None = None, probe: str | None = None, tokens_per_step: int | None = None
) -> Threshold:
    """The least of the thresholds in a report.

    Args:
        path: knowledge.json.
        group: only those of the passages shown in this way.
        probe: only those of this kind of probes.
        tokens_per_step: where some were measured with batches of this size, only these: the threshold depends on it.

    Raises:
        InputError: it is no report, or has no such threshold.
    """
    report = _report(path)
    batches = {name: run["tokens_per_step"] for name, run in report["runs"].items()}
    known = [row for row in report["learnability_thresholds"] if row["steps"] is not None]
    fitting = [row for row in known if group in (None, row["group"]) and probe in (None, row["kind"])]
    if not fitting:
        wanted = " ".join(word for word in (group, probe) if word)
        raise InputError(
            where=str(path), found=f"no learnability threshold{f' of {wanted}' if wanted else ''}",
            expected="one of " + "; ".join(dict.fromkeys(f"{row['group']} {row['kind']}" for row in known)) if known
            else "at least one: forgetting that was followed long enough",
            fix="Name one of these with --group and --probe." if known else "Give one yourself with --threshold.",
        )  # fmt: skip
    of_this_batch = [row for row in fitting if batches[row["run"]] == tokens_per_step]
    least = min(of_this_batch or fitting, key=lambda row: row["steps"])
    return Threshold(
        steps=float(least["steps"]),
        origin=f"{least['kind']} probes of the passages shown as {least['group']} to {least['run']}",
        tokens_per_step=batches[least["run"]],
    )


def _report(path: Path) -> dict[str, Any]:
    require_file(path, fix=REPORT_FIX)
    try:
        report = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(where=str(path), found=f"no JSON ({error})", expected="a report", fix=REPORT_FIX) from None
    if not isinstance(report, dict) or not {"learnability_thresholds", "runs"} <= set(report):
        raise InputError(where=str(path), found="other JSON", expected="a report on runs", fix=REPORT_FIX)
    return report
