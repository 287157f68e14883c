"""Names of checkpoints in a run folder. No torch."""

from pathlib import Path

FOLDER = "checkpoints"


def latest_step(run: Path) -> int | None:
    found = sorted(path for path in (run / FOLDER).glob("step_????????"))
    return int(found[-1].name.removeprefix("step_")) if found else None


def is_checkpoint(path: Path) -> bool:
    return path.parent.name == FOLDER
