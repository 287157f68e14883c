"""What an experiment has shown, from the files in its folder: `report.json` for programs, `report.html` for people.

Only files are read and no torch is needed, so a report can be made on a laptop from a folder that was copied there. An
experiment that isn't finished gets a report too: it says what is missing.
"""

import json
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from data_tools.files import write_whole
from megatron_ext.report.collect import collect
from megatron_ext.report.page import page


def build_report(experiment: Path) -> dict[str, Any]:
    """Write report.json and report.html into an experiment's folder; returns what report.json holds.

    Raises:
        InputError: the folder is not an experiment's.
    """
    if not (experiment / "experiment.json").is_file():
        raise InputError(
            where=str(experiment / "experiment.json"), found="no such file", expected="the folder of an experiment",
            fix="Name a folder that `megatron-ext demo` wrote, such as runs/demo.",
        )  # fmt: skip
    report = collect(experiment)
    write_whole(experiment / "report.json", json.dumps(report, indent=1) + "\n")
    write_whole(experiment / "report.html", page(report))
    return report
