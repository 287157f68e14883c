"""What an experiment has shown, from the files in its folder: one page for people, Markdown, and JSON for programs.

Only files are read and no torch is needed, so a report can be made on a laptop from a folder that was copied there. An
experiment that isn't finished, or whose files are damaged, gets a report too: it says what is missing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_tools.files import write_whole
from megatron_ext.report.collect import collect
from megatron_ext.report.page import as_json, markdown, page


def build_report(experiment: Path, others: Sequence[Path] = ()) -> dict[str, Any]:
    """Write report.html, report.md and report.json into an experiment's folder; returns what report.json holds.

    Args:
        experiment: its folder.
        others: folders of the same experiment with other seeds.

    Raises:
        InputError: a folder is not an experiment's, or the others are not the same experiment.
    """
    report = collect(experiment, others)
    for name, text in (("report.json", as_json), ("report.md", markdown), ("report.html", page)):
        write_whole(experiment / name, text(report))
    return report
