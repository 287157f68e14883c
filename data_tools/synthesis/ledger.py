"""Every answer that a model gave, kept for ever: appended to the file of its part, each with a checksum.

    <ledger>/ledger.json      how many parts there are
    <ledger>/part-0007.jsonl  a line for each answer, {"id": ..., "text": ..., "check": CRC-32 of all that is before it}

Promises: an answer that was appended is never asked for again, whoever asks next; what a killed process or a full disk
left of a line is cut, a damaged line is as if it had not been asked, and neither is fatal; a part has one writer.

A ledger outlives the corpus that is made of it: with other filters, a larger budget or more documents nothing is paid
for twice.
"""

import json
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Self

import orjson

from data_tools.errors import EndedEarly, InputError
from data_tools.files import locked, write_whole
from data_tools.synthesis.requests import Answer, Request

SETTINGS = "ledger.json"
MOST_PARTS = 1024
REQUESTS_OF_A_PART = 16
"""At least, as far as it is known beforehand: a few parts can still be shared out evenly."""
FLUSH_EVERY = 1.0
"""Seconds of answers that a machine which loses its power may lose; a process that is killed loses none."""
CHECK = b',"check":"'


class Ledger:
    """The folder of a ledger."""

    def __init__(self, folder: Path, *, expected: int = 1):
        """Open it, or make it.

        Args:
            folder: where it is.
            expected: requests that it will hold; decides on the number of parts where there are none yet.

        Raises:
            InputError: the folder holds something else.
        """
        self.folder = folder
        path = folder / SETTINGS
        with locked(folder, wait=60):  # the tasks of an array open it together
            if not path.exists():
                _require_free(folder)
                write_whole(path, json.dumps({"parts": max(1, min(expected // REQUESTS_OF_A_PART, MOST_PARTS))}))
        self.parts = int(json.loads(path.read_text())["parts"])

    def file(self, part: int) -> Path:
        return self.folder / f"part-{part:04d}.jsonl"


def _require_free(folder: Path) -> None:
    """Refuse a folder that holds anything but what a killed process has left of a ledger."""
    left = SETTINGS + ".partial"
    if folder.exists() and any(entry.name != left and not entry.name.startswith(".") for entry in folder.iterdir()):
        raise InputError(
            where=str(folder), found=f"a folder without {SETTINGS}", expected="a ledger, or a path that is free",
            fix="Name another folder with --ledger.",
        )  # fmt: skip


class LedgerPart:
    """The answers of one part: by id, on the disk; in memory is where each one lies."""

    def __init__(self, path: Path, *, writing: bool):
        """Read it; where it is to be written, as the only one.

        Raises:
            InputError: another process writes it.
        """
        self._path, self._writing, self._held = path, writing, ExitStack()
        self._places: dict[bytes, tuple[int, int]] = {}
        self.damaged = 0
        """Lines that were passed over."""
        if writing:
            self._held.enter_context(locked(path))
            path.touch()
        self._end = self._index()
        self._file = os.open(path, os.O_RDWR if writing else os.O_RDONLY) if path.exists() else None
        if writing:
            os.truncate(path, self._end)
        self._flushed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write it; what was appended is on the disk."""
        if self._file is not None:
            if self._writing:
                os.fsync(self._file)
            os.close(self._file)
            self._file = None
        self._held.close()

    def __len__(self) -> int:
        return len(self._places)

    def get(self, request: str) -> Answer | None:
        """The answer to a request, named by its id."""
        place = self._places.get(bytes.fromhex(request))
        if place is None or self._file is None:
            return None
        row = orjson.loads(os.pread(self._file, place[1], place[0]))
        return Answer(row["text"], row["finish"], row["prompt_tokens"], row["tokens"])

    def append(self, request: Request, answer: Answer) -> None:
        """Keep an answer.

        Raises:
            EndedEarly: the disk is full; what there is of the line is cut by the next writer.
        """
        if self._file is None:
            raise ValueError(f"{self._path} is closed")
        line = _line(request, answer)
        try:
            written = 0
            while written < len(line):
                written += os.pwrite(self._file, line[written:], self._end + written)
            if time.monotonic() - self._flushed > FLUSH_EVERY:
                os.fsync(self._file)
                self._flushed = time.monotonic()
        except OSError as error:
            raise EndedEarly(
                f"{self._path} can't be written ({error.strerror}). The answers in it are kept: make room, then run the"
                " same command again."
            ) from None
        self._places[bytes.fromhex(request.id)] = (self._end, len(line))
        self._end += len(line)

    def _index(self) -> int:
        """Find all answers; returns where the last whole line ends."""
        end = 0
        for line in _lines(self._path):
            if line.endswith(b"\n"):
                if found := _checked(line):
                    self._places.setdefault(found, (end, len(line)))
                else:
                    self.damaged += 1
                end += len(line)
        return end


def _lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with path.open("rb") as file:
            yield from file


def _line(request: Request, answer: Answer) -> bytes:
    body = orjson.dumps({"id": request.id} | asdict(answer))[:-1]
    return body + CHECK + b'%08x"}\n' % zlib.crc32(body)


def _checked(line: bytes) -> bytes | None:
    """The id in a line; None if the line is not as it was written."""
    body, _, check = line.rpartition(CHECK)
    if check != b'%08x"}\n' % zlib.crc32(body) or not body.startswith(b'{"id":"'):
        return None
    return bytes.fromhex(body[7:39].decode())
