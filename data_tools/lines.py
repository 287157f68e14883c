"""JSON lines on disk, plain or compressed: read as a stream, written to the same bytes for the same rows."""

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import zstandard

from data_tools.errors import InputError

READ_AT_ONCE = 1 << 17
"""Compressed bytes."""

LEVEL = 10
"""Of zstd: the bytes depend on it, so it is fixed."""


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write one JSON object a line; returns their number."""
    count = 0
    with path.open("wb") as file:
        writer: Any = zstandard.ZstdCompressor(level=LEVEL).stream_writer(file) if path.suffix == ".zst" else file
        for row in rows:
            writer.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
            count += 1
        writer.flush() if writer is file else writer.close()
    return count


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file that `write_lines` wrote."""
    with opened(path) as lines:
        for line in lines:
            yield json.loads(line)


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """The lines of a .jsonl, .jsonl.gz or .jsonl.zst file.

    Raises:
        InputError: what is read inside the block turns out to be damaged.
    """
    try:
        yield from _stream(path)
    except (zstandard.ZstdError, EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise InputError(
            where=str(path), found=f"bytes that can't be read ({error})", expected="UTF-8 text, whole",
            fix="Fetch or write the file again.",
        ) from None  # fmt: skip


def _stream(path: Path) -> Iterator[IO[str]]:
    with path.open("rb") as file:
        raw: Any = file
        if path.suffix == ".zst":
            raw = io.BufferedReader(_ZstdFile(file))
        elif path.suffix == ".gz":
            raw = gzip.GzipFile(fileobj=file)
        yield io.TextIOWrapper(raw, encoding="utf-8", newline="\n")


class _ZstdFile(io.RawIOBase):
    """Decompressed bytes; a file cut off inside a frame is an EOFError, where zstandard's own reader just ends."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self._frame: Any = None
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            block = self._frame.unused_data if self._frame is not None and self._frame.eof else b""
            block = block or self._file.read(READ_AT_ONCE)
            if not block:
                if self._frame is not None and not self._frame.eof:
                    raise EOFError("the file ends inside a compressed block")
                return 0
            if self._frame is None or self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._ready = self._frame.decompress(block)
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size
