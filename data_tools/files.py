"""Outputs that are whole or absent, whatever kills us, and the hashes that tell them apart.

A folder or file is first written under a `.partial` name, flushed to disk, and renamed in one call. Two builders
never share a scratch folder: the second is refused by a lock.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from data_tools.errors import InputError

HASH_CHUNK = 1 << 20
COPY_CHUNK = 1 << 22

SHARDS = "shards"
"""Folder in a scratch folder: finished parts of the work, no part of the output."""

OTHERS_MAY_NEED = 60.0
"""Seconds that another task of a Slurm array may take to empty a scratch folder."""


def content_hash(path: Path) -> str:
    """BLAKE2b (128 bits, hex) of a file's bytes, read in bounded memory."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def text_hash(text: str) -> str:
    """BLAKE2b (128 bits, hex) of a text in UTF-8."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def drawn(name: str, *, salt: str = "") -> float:
    """A number in [0, 1) that depends on nothing but the two texts: a draw that no other name changes."""
    return int(text_hash(f"{salt}\0{name}")[:13], 16) / 16**13


@contextmanager
def locked(folder: Path, *, wait: float = 0) -> Iterator[None]:
    """Hold the lock of an output folder; a second builder is refused after `wait` seconds, by default at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))  # stays: removing it would let two builders in
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise InputError(
            where=str(folder),
            found="another process that is building it now",
            expected="one builder for one output",
            fix="Wait for the other process, or choose another output.",
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def whole_or_nothing(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder that becomes `folder` in one rename when the block ends well.

    `folder` therefore either does not exist or is complete. After a failure the scratch folder
    `<folder>.partial` stays, and the next call is given it again; after bad input it is removed, unless the
    error says that what is in it can be used. The caller holds the lock of `folder`.

    Raises:
        InputError: `folder` exists already, or the block found its input unusable.
    """
    if folder.exists():
        raise InputError(
            where=str(folder),
            found="a finished artifact",
            expected="a path that does not exist",
            fix="Choose another output, or remove this one first.",
        )
    scratch = folder.with_name(folder.name + ".partial")
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        yield scratch
    except InputError as error:
        if not error.keeps_work:
            shutil.rmtree(scratch)
        raise
    # A rename may reach the disk before the data does: flush every file, and each folder that lists them.
    for path in (*scratch.rglob("*"), scratch):
        flush(path)
    scratch.rename(folder)
    flush(folder.parent)


def write_whole(path: Path, data: str | bytes) -> None:
    """Write a small file so that a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data.encode() if isinstance(data, str) else data)
    flush(partial)
    partial.replace(path)
    flush(path.parent)


def join_files(sources: Iterable[Path], target: Path, *, header: bytes = b"") -> Path:
    """Write files one after another into one, behind a header; returns it."""
    with target.open("wb") as whole:
        whole.write(header)
        for path in sources:
            with path.open("rb") as part:
                shutil.copyfileobj(part, whole, COPY_CHUNK)
    return target


def require_file(path: Path, *, fix: str) -> Path:
    """The path, if it is a file.

    Raises:
        InputError: it is not there, or is a folder.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise InputError(where=str(path), found=found, expected="a file", fix=fix)
    return path


def remove_artifact(folder: Path) -> None:
    """Remove a finished artifact and what an unfinished build of it left."""
    for path in (folder, folder.with_name(folder.name + ".partial")):
        if path.exists():
            shutil.rmtree(path)


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
