"""Whether a checkpoint's files are those that were written: `integrity.json` lists each with its bytes and hash.

No torch.

Hashes are taken by the writers, of what stands in the files after it was flushed. A rank can verify its share of the
files: together the ranks of a run read a checkpoint once.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from data_tools.files import content_hash, write_whole

INTEGRITY = "integrity.json"


class FileRecord(NamedTuple):
    """A file as it was written."""

    bytes: int
    hash: str


def record(path: Path) -> FileRecord:
    """Bring a file to the disk, and say what it holds."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return FileRecord(path.stat().st_size, content_hash(path))


def write_list(folder: Path, files: Mapping[str, FileRecord]) -> None:
    """The last file of a checkpoint."""
    listed = {name: entry._asdict() for name, entry in sorted(files.items())}
    write_whole(folder / INTEGRITY, json.dumps({"files": listed}, indent=1) + "\n")


def problem_of(folder: Path, *, share: int = 0, shares: int = 1) -> str | None:
    """What is wrong with a checkpoint; None where all is as it was written.

    Args:
        folder: of the checkpoint.
        share: which part of the files is read here, from 0. The list itself is looked at in every share.
        shares: parts into which the files are divided.
    """
    try:
        listed = json.loads((folder / INTEGRITY).read_text())["files"]
        files = {name: FileRecord(**entry) for name, entry in listed.items()}
    except FileNotFoundError:
        return f"{folder.name} has no {INTEGRITY}: it was written by an earlier version, or is damaged"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{folder.name}/{INTEGRITY} can't be read"
    for name, expected in list(files.items())[share::shares]:
        found = _difference(folder / name, expected)
        if found:
            return f"{folder.name}/{name} {found}"
    return None


def _difference(path: Path, expected: FileRecord) -> str | None:
    try:
        size = path.stat().st_size
        if size != expected.bytes:
            return f"has {size} bytes, not {expected.bytes}"
        return None if content_hash(path) == expected.hash else "was changed after it was written"
    except OSError as error:
        return f"can't be read: {error.strerror}"
