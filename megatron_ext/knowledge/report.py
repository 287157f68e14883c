"""What runs with a `knowledge:` section have shown: `knowledge.json`, `knowledge.html`, and tables as `knowledge.md`.

Only files are read and no torch is needed. A run that isn't finished gets a report too, which counts what is not known
yet.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from data_tools.files import write_whole
from megatron_ext.config import model_from_dict
from megatron_ext.knowledge.description import described
from megatron_ext.knowledge.findings import MeasuredRun, findings
from megatron_ext.knowledge.measures import Settings, measure
from megatron_ext.knowledge.record import FOLDER, read_record
from megatron_ext.knowledge.report_page import page
from megatron_ext.knowledge.report_table import tables
from megatron_ext.plan.cost import parameters

JSON, PAGE, TABLE = "knowledge.json", "knowledge.html", "knowledge.md"
CONFIG = "config.json"


def build_report(runs: Mapping[str, Path], output: Path, settings: Settings) -> dict[str, Any]:
    """Measure runs, by the names they are to have, and write the three files; returns what knowledge.json holds.

    Raises:
        InputError: one of them has no record of probes.
    """
    measured = {name: MeasuredRun(measure(read_record(run), settings), _parameters(run)) for name, run in runs.items()}
    found = described(measured, findings(measured), settings)
    output.mkdir(parents=True, exist_ok=True)
    write_whole(output / JSON, json.dumps(found, indent=1, allow_nan=False) + "\n")
    write_whole(output / TABLE, tables(found))
    write_whole(output / PAGE, page(found))
    return found


def default_output(runs: list[Path]) -> Path:
    """Where the report of one run goes.

    Raises:
        InputError: there are several.
    """
    if len(runs) > 1:
        raise InputError(
            where="--output", found=f"nothing, for {len(runs)} runs", expected="a folder for what is said of them all",
            fix="Name one with --output.",
        )  # fmt: skip
    return runs[0] / FOLDER


def named(runs: list[Path], names: list[str]) -> dict[str, Path]:
    """Name -> run; without names those of the folders.

    Raises:
        InputError: there are not as many names as runs, or two are alike.
    """
    if names and len(names) != len(runs):
        raise InputError(
            where="--name", found=f"{len(names)} for {len(runs)} runs", expected="one for each run, in their order",
            fix="Give --name as often as there are runs, or leave it out: then they are named after their folders.",
        )  # fmt: skip
    found = dict(zip(names or [run.absolute().name for run in runs], runs, strict=True))
    if len(found) < len(runs):
        raise InputError(
            where="names of runs", found="two that are alike", expected="different ones",
            fix="Give each run a --name, in the order of the runs.",
        )  # fmt: skip
    return found


def _parameters(run: Path) -> int | None:
    """Of a run's model; None if the folder does not say, being a copy of the record alone."""
    path = run / CONFIG
    return parameters(model_from_dict(json.loads(path.read_text())["model"], str(path))) if path.is_file() else None
