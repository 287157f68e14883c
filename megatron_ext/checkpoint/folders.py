"""The folders of a run's checkpoints: their names, which is the newest, which may go. No torch.

`<run>/checkpoints/step_00000120/` is complete: it got that name by one rename, after all its files were on the disk.
`*.partial` is being written or removed, or was when its run was killed; `*.unsound` was found damaged. Neither is
ever chosen.
"""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from data_tools.errors import InputError

FOLDER = "checkpoints"
PARTIAL = ".partial"
UNSOUND = ".unsound"
NAME = re.compile(r"step_(\d{8,})")


def step_folder(run: Path, step: int) -> Path:
    return run / FOLDER / f"step_{step:08d}"


def step_of(folder: Path) -> int:
    """Optimizer steps taken before a checkpoint was written."""
    return int(folder.name.removeprefix("step_"))


def complete(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    return sorted((path for path in (run / FOLDER).glob("step_*") if NAME.fullmatch(path.name)), key=step_of)


def latest(run: Path) -> Path | None:
    """The newest complete checkpoint, if there is one. Its files are not looked at."""
    found = complete(run)
    return found[-1] if found else None


def latest_step(run: Path) -> int | None:
    """The step of the newest complete checkpoint, if there is one."""
    found = latest(run)
    return None if found is None else step_of(found)


def is_checkpoint(path: Path) -> bool:
    """Whether a path names one checkpoint, not a run."""
    return path.parent.name == FOLDER and NAME.fullmatch(path.name) is not None


def resolve(start: Path) -> Path:
    """The checkpoint that is meant by a path to itself, or by one to its run: the newest.

    Raises:
        InputError: the run has none.
    """
    return start if is_checkpoint(start) else require_latest(start)


def require_latest(run: Path) -> Path:
    """The newest complete checkpoint.

    Raises:
        InputError: there is none.
    """
    found = latest(run)
    if found is None:
        raise InputError(
            where=str(run / FOLDER),
            found="no complete checkpoint",
            expected="a folder step_*",
            fix="Train this run first, or name another run folder.",
        )
    return found


def partial_folder(run: Path, step: int) -> Path:
    """Where a checkpoint is written until it is whole."""
    folder = step_folder(run, step)
    return folder.with_name(folder.name + PARTIAL)


def give_name(partial: Path) -> None:
    """Make a checkpoint complete, in one rename. Its files are on the disk."""
    folder = partial.with_suffix("")
    if folder.exists():  # this step was saved before
        _take_name(folder)
    partial.rename(folder)
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def retire(run: Path, *, keep: int, keep_every: int | None) -> list[Path]:
    """Take their names from checkpoints that are neither among the `keep` newest nor of a step that is kept for ever.

    Returns:
        Folders to be removed. Until they are, a kill leaves them as what `remove_leftovers` removes.
    """
    older = complete(run)[:-keep]
    return [_take_name(path) for path in older if keep_every is None or step_of(path) % keep_every]


def set_aside(folder: Path) -> Path:
    """Keep a damaged checkpoint for inspection under a name that is never chosen."""
    aside = folder.with_name(folder.name + UNSOUND)
    remove([aside])
    return folder.rename(aside)


def remove(paths: Iterable[Path]) -> None:
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


def remove_leftovers(run: Path) -> None:
    """Remove what writers and removers that were killed have left. Nobody may be writing to the run."""
    remove((run / FOLDER).glob("*" + PARTIAL))


def _take_name(folder: Path) -> Path:
    return folder.rename(folder.with_name(f"{folder.name}.old{PARTIAL}"))
