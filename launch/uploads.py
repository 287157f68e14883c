"""What runs have logged for W&B while it was out of reach, uploaded by W&B's own `wandb sync`.

Each start of a run leaves a part, `RUN/wandb/offline-run-*/run-ID.wandb`; all parts of a folder are one W&B run. An
upload that breaks off is gone on with by the next one, and a part that is there already is passed over. The part that
a live run is writing waits until the run has ended or starts its next one: W&B takes a part as it is when it reads it.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from launch.status import status_of

PART = "*/run-*.wandb"
OFFLINE = "offline-"
LATEST = "latest-run"
"""W&B's link to the newest part."""

State = Literal["uploaded", "waiting", "being written"]


@dataclass(frozen=True, kw_only=True)
class Upload:
    """What a call did for one run. Paths are folders of parts."""

    run: str
    before: list[str]
    """Were uploaded already."""
    uploaded: list[str]
    being_written: list[str]
    """Left out: the run lives."""
    failed: list[str]
    """W&B said why; the next call tries again."""


def upload(run: Path, *, online: bool = False) -> Upload:
    """Upload what is left of a run, its parts in the order in which they were written.

    Args:
        run: run folder.
        online: whether parts that were logged online are uploaded as well: the connection may have been lost.
    """
    parts = parts_of(run, online=online)
    states = {part: state_of(part) for part in parts}
    if parts and status_of(run).state == "running":
        states[parts[-1]] = "being written"
    wanted = [part for part, state in states.items() if state == "waiting"]
    if wanted:
        _sync(wanted)
    return Upload(
        run=str(run), before=_named(states, "uploaded"), being_written=_named(states, "being written"),
        uploaded=[str(part.parent) for part in wanted if state_of(part) == "uploaded"],
        failed=[str(part.parent) for part in wanted if state_of(part) != "uploaded"],
    )  # fmt: skip


def parts_of(run: Path, *, online: bool = False) -> list[Path]:
    """The parts of a run's curves, oldest first."""
    found = [path for path in (run / "wandb").glob(PART) if path.parent.name != LATEST]
    wanted = [path for path in found if online or path.parent.name.startswith(OFFLINE)]
    return sorted(wanted, key=lambda path: path.parent.name.removeprefix(OFFLINE))  # run-DATE_TIME-ID


def state_of(part: Path) -> State:
    """Whether a part has been uploaded as it is now."""
    marker = _marker(part)
    return "uploaded" if marker.exists() and marker.stat().st_mtime >= part.stat().st_mtime else "waiting"


def _marker(part: Path) -> Path:
    """Written by W&B once a part is uploaded."""
    return part.with_name(part.name + ".synced")


def _sync(parts: Sequence[Path]) -> None:
    """Its status says nothing: the markers do."""
    for part in parts:
        _marker(part).unlink(missing_ok=True)  # of a part that has grown since
    command = [sys.executable, "-m", "wandb", "sync", "--include-online", *(str(part) for part in parts)]
    subprocess.run(command, stdout=sys.stderr, check=False)


def _named(states: dict[Path, State], wanted: State) -> list[str]:
    return [str(part.parent) for part, state in states.items() if state == wanted]
