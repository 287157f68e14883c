"""JSON lines on disk, plain or compressed: read as a stream, written to the same bytes for the same rows."""

import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import zstandard

from data_tools.errors import InputError

READ_AT_ONCE = 1 << 20
"""Bytes of a plain file."""

READ_COMPRESSED = 1 << 14
"""Bytes of a compressed one: a few may stand for very many."""

LONGEST_LINE = 64 << 20
"""Bytes; more than any document, so that a file without line breaks can't fill the memory."""

LEVEL = 3
"""Of zstd, on one thread: the bytes depend on both, so they are fixed."""

DAMAGE = (zstandard.ZstdError, zlib.error, EOFError)
"""What a damaged file raises as it is decompressed."""

DECOMPRESSORS = {
    ".gz": lambda: zlib.decompressobj(wbits=31),
    ".zst": lambda: zstandard.ZstdDecompressor().decompressobj(),
}


def write_lines(path: Path, rows: Iterable[Any]) -> int:
    """Write one JSON object a line; returns their number."""
    with lines_writer(path) as write:
        return sum(write(row) for row in rows)


@contextmanager
def lines_writer(path: Path) -> Iterator[Any]:
    """A function that writes one object as a line, into a file that is compressed if its name ends in .zst."""
    with path.open("wb") as file:
        compressed = path.suffix == ".zst"
        raw: Any = zstandard.ZstdCompressor(level=LEVEL).stream_writer(file, closefd=False) if compressed else file
        writer = io.BufferedWriter(raw, READ_AT_ONCE) if compressed else raw

        def write(row: Any) -> bool:
            writer.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            return True

        yield write
        if compressed:
            writer.close()


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file that `write_lines` wrote.

    Raises:
        InputError: it is damaged.
    """
    try:
        for _, line in split_lines(blocks(path)):
            yield orjson.loads(line)
    except (*DAMAGE, orjson.JSONDecodeError) as error:
        raise InputError(
            where=str(path), found=f"bytes that can't be read ({error})", expected="the file as it was written",
            fix="Fetch or write the file again.",
        ) from None  # fmt: skip


def blocks(path: Path, begin: int = 0) -> Iterator[bytes]:
    """The bytes of a file, decompressed if its name ends in .gz or .zst, from `begin` on if it doesn't.

    All that can be read of a damaged file is given before one of DAMAGE is raised.
    """
    with path.open("rb") as file:
        if path.suffix not in DECOMPRESSORS:
            file.seek(begin)
            while block := file.read(READ_AT_ONCE):
                yield block
            return
        frame: Any = None
        while block := file.read(READ_COMPRESSED):
            while block:
                frame = frame or DECOMPRESSORS[path.suffix]()
                yield frame.decompress(block)
                block = frame.unused_data  # of a file made by joining several
                frame = None if frame.eof else frame
        if frame is not None:
            raise EOFError("the file ends inside a compressed block")


def split_lines(parts: Iterable[bytes], offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Lines with the offsets at which they begin; `offset` is that of the first.

    A line ends with a line feed, which is left out, and nothing else. Of one longer than LONGEST_LINE only a beginning
    is given, which is longer than that too.
    """
    begun: list[bytes] = []
    size = 0
    for part in parts:
        first, *others = part.split(b"\n")
        if size <= LONGEST_LINE:
            begun.append(first)
        size += len(first)
        if not others:
            continue
        yield offset, b"".join(begun)
        offset += size + 1
        rest = others.pop()
        for line in others:
            yield offset, line
            offset += len(line) + 1
        begun, size = [rest], len(rest)
    if size:
        yield offset, b"".join(begun)
