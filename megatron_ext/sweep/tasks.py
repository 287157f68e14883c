"""What sweeps and comparisons share: runs as the tasks of a Slurm array, and what is raised where one fails."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_tools.errors import EndedEarly, InputError
from data_tools.files import write_whole

PROPOSED, ARRAY = "proposed.json", "next.sbatch"


class RunFailed(EndedEarly):
    """A run ended without what it was to give."""


def write_array(folder: Path, tasks: Sequence[Any], command: Sequence[str]) -> Path:
    """Write a batch file whose array has one task for each run; returns it.

    Args:
        folder: of the runs.
        tasks: what tells each run, as plain values.
        command: that runs one task, given its number at its end.
    """
    write_whole(folder / PROPOSED, json.dumps(list(tasks)) + "\n")
    script = folder / ARRAY
    line = shlex.join(command)
    write_whole(script, f'#!/bin/bash\n#SBATCH --array=0-{len(tasks) - 1}\n{line} "$SLURM_ARRAY_TASK_ID"\n')
    return script


def task_of(folder: Path, number: int) -> Any:
    """What tells the run of one task of the array.

    Raises:
        InputError: the array has no such task.
    """
    path = folder / PROPOSED
    tasks = json.loads(path.read_text()) if path.exists() else []
    if not 0 <= number < len(tasks):
        raise InputError(
            where=str(path), found=f"{len(tasks)} proposed runs", expected=f"one of number {number}",
            fix="Propose the next runs first, with --array.",
        )  # fmt: skip
    return tasks[number]
