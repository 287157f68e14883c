"""Files to documents: JSON lines, Parquet and plain text. Every record that can't be used knows its file and line.

Promises: no bytes crash or hang a reader, none fill the memory; what was read and what was rejected are together what
was there; a record belongs to exactly one shard.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import orjson

from data_tools.corpus.groups import page_of
from data_tools.errors import InputError
from data_tools.lines import DAMAGE, LONGEST_LINE, READ_AT_ONCE, blocks, split_lines, write_lines
from data_tools.text.inputs import Piece, Shard, inputs_of, is_parquet, is_text
from data_tools.text.rejects import EMPTY_TEXT, Reject

__all__ = [
    "Document", "Fields", "page_of", "read_documents", "read_shard", "read_whole", "require_usable", "write_documents",
]  # fmt: skip

BEGINNING = 80
"""Characters of a rejected line that are shown."""

ROWS_AT_ONCE = 256
"""Of Parquet."""

LOOKED_AT = 100
"""Records, before the work begins."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UNREADABLE = "bytes that can't be read"
MISSING = object()
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Document:
    """A text, its name, the collection it belongs to, and the terms it is under."""

    id: str
    text: str
    source: str
    licence: str


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Keys of a record; `meta.url` is the key `url` inside of `meta`, unless there is a key of that very name."""

    text: str = "text"
    id: str = "id"
    source: str = "source"
    licence: str = "licence"
    all_needed: bool = False
    """Refuse records without id, source or licence, instead of naming them after the file; take empty texts."""


class _Unusable(Exception):
    def __init__(self, reason: str, *, key: str = "", detail: object = ""):
        super().__init__(reason)
        self.about = {"reason": reason, "key": key, "detail": str(detail)}


def read_documents(paths: Sequence[Path]) -> Iterator[Document]:
    """All documents of the files, in order; each has to have all its keys.

    Raises:
        InputError: a file is missing or damaged, or a record isn't a document.
    """
    inputs = inputs_of(paths)
    return read_whole(Shard(tuple(map(Piece, inputs.files, inputs.names))))


def read_whole(shard: Shard) -> Iterator[Document]:
    """The documents of a shard of what we wrote; all of it has to be good.

    Raises:
        InputError: it is damaged, or a record isn't a document.
    """
    return read_shard(shard, Fields(all_needed=True), _refuse)


def read_shard(shard: Shard, fields: Fields, on_reject: Callable[[Reject], None]) -> Iterator[Document]:
    """The documents of a shard, in order.

    A document without an id is named after its file and the byte at which its line begins, or its row; without a source
    it gets the file's name (a text file its folder's), without a licence none.

    Args:
        shard: what to read.
        fields: keys of the records.
        on_reject: is given each record that can't be used.
    """
    for piece in shard.pieces:
        if is_parquet(piece.path):
            yield from _read_parquet(piece, fields, on_reject)
        elif is_text(piece.path):
            yield from _read_text(piece, on_reject)
        else:
            yield from _read_lines(piece, fields, on_reject)


def require_usable(shards: Sequence[Shard], fields: Fields) -> None:
    """Look at the first records, before hours of work go into finding that a key was misspelt.

    Raises:
        InputError: none of the first LOOKED_AT can be used.
    """
    bad: list[Reject] = []

    def note(reject: Reject) -> None:
        if reject.reason != EMPTY_TEXT:
            bad.append(reject)
        if len(bad) == LOOKED_AT:
            raise InputError(
                where=bad[0].where, found=f"{bad[0].found}; the first {LOOKED_AT} records are all bad",
                expected="records that hold a text", fix="Name the key of the text with --text-key, or other files.",
            )  # fmt: skip

    for _ in read_shard(shards[0], fields, note):
        return


def write_documents(path: Path, documents: Iterable[Document]) -> int:
    """Write documents to a .jsonl or .jsonl.zst file; the same documents give the same bytes. Returns their number."""
    return write_lines(path, documents)


def _refuse(reject: Reject) -> NoReturn:
    raise InputError(
        where=reject.where, found=reject.found, expected="a string" if reject.key else "one JSON object a line, whole",
        fix="Correct or remove that record.",
    )  # fmt: skip


def _read_lines(piece: Piece, fields: Fields, on_reject: Callable[[Reject], None]) -> Iterator[Document]:
    first = _first_line(piece)
    if first is None:
        return
    end, number = piece.end, 0
    lines = split_lines(blocks(piece.path, first), first)
    try:
        for number, (offset, line) in enumerate(lines, start=1):
            if end is not None and offset >= end:
                return
            try:
                row = _parsed(line if offset else line.removeprefix(BYTE_ORDER_MARK))
                document = _document(row, fields, piece.name, "@", offset)
            except _Unusable as error:
                start = line[: 4 * BEGINNING].decode(errors="replace")[:BEGINNING]
                on_reject(Reject(file=str(piece.path), line=number, beginning=start, counted_from=first, **error.about))
                continue
            yield document
    except DAMAGE as error:
        detail = f"{error}; {number} lines before it"
        on_reject(Reject(file=str(piece.path), line=0, reason=UNREADABLE, detail=detail))


def _first_line(piece: Piece) -> int | None:
    """Where the first line begins that belongs to a piece of a plain file; None if none does."""
    if not piece.begin:
        return 0
    at = piece.begin - 1
    with piece.path.open("rb") as file:
        file.seek(at)
        while block := file.read(READ_AT_ONCE):
            found = block.find(b"\n")
            if found >= 0:
                first = at + found + 1
                return first if piece.end is None or first < piece.end else None
            at += len(block)
            if piece.end is not None and at >= piece.end:
                return None
    return None


def _parsed(line: bytes) -> Any:
    if len(line) > LONGEST_LINE:
        raise _Unusable(f"more than {LONGEST_LINE >> 20} MiB without a line break")
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return _parsed_slowly(line)


def _parsed_slowly(line: bytes) -> Any:
    """What orjson refuses: halves of surrogate pairs, NaN and infinity are common in what others wrote."""
    if not line or line.isspace():
        raise _Unusable("an empty line")
    try:
        return json.loads(line.decode(), object_hook=_without_half_pairs)
    except UnicodeDecodeError as error:
        raise _Unusable("no UTF-8", detail=error.reason) from None
    except ValueError as error:
        raise _Unusable("no JSON", detail=error) from None
    except RecursionError:
        raise _Unusable("JSON that is nested too deep") from None


def _without_half_pairs(row: dict[str, Any]) -> dict[str, Any]:
    """An object without halves of surrogate pairs, which no file can hold."""
    return {key: LONE_SURROGATE.sub("\ufffd", value) if type(value) is str else value for key, value in row.items()}


def _document(row: Any, fields: Fields, file: str, place: str, number: int) -> Document:
    """The document of a record, which is called by its place in the file if it has no id."""
    if type(row) is not dict:
        raise _Unusable(f"{_kind(row)}, no object")
    name, text = _value(row, fields.id), _value(row, fields.text)
    source, licence = _value(row, fields.source), _value(row, fields.licence)
    if type(text) is not str:
        raise _wrong(fields.text, text)
    if fields.all_needed:
        for key, value in ((fields.id, name), (fields.source, source), (fields.licence, licence)):
            if type(value) is not str:
                raise _wrong(key, value)
        return Document(name, text, source, licence)
    if not text or text.isspace():
        raise _Unusable(EMPTY_TEXT)
    if type(name) is int:
        name = str(name)
    elif name is MISSING or name is None or name == "":
        name = f"{file}{place}{number}"
    elif type(name) is not str:
        raise _wrong(fields.id, name)
    return Document(
        name, text, source if type(source) is str and source else file, licence if type(licence) is str else ""
    )


def _value(row: dict[str, Any], key: str) -> Any:
    if key in row:
        return row[key]
    inner: Any = row
    for part in key.split("."):
        inner = inner.get(part, MISSING) if type(inner) is dict else MISSING
    return inner


def _wrong(key: str, value: Any) -> _Unusable:
    return _Unusable("no such key" if value is MISSING else _kind(value), key=key)


def _kind(value: Any) -> str:
    return {"dict": "an object", "int": "a number", "float": "a number", "bool": "a boolean", "NoneType": "null"}.get(
        type(value).__name__, f"a {type(value).__name__}"
    )


def _read_text(piece: Piece, on_reject: Callable[[Reject], None]) -> Iterator[Document]:
    reject = partial(Reject, file=str(piece.path), line=0)
    with piece.path.open("rb") as file:
        data = file.read(LONGEST_LINE + 1)
    if len(data) > LONGEST_LINE:
        on_reject(reject(reason=f"a text of more than {LONGEST_LINE >> 20} MiB"))
        return
    try:
        text = data.removeprefix(BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as error:
        on_reject(reject(reason="no UTF-8", detail=f"{error.reason} at byte {error.start}"))
        return
    if not text or text.isspace():
        on_reject(reject(reason=EMPTY_TEXT))
        return
    yield Document(piece.name, text, piece.path.absolute().parent.name, "")


def _read_parquet(piece: Piece, fields: Fields, on_reject: Callable[[Reject], None]) -> Iterator[Document]:
    from pyarrow import ArrowException

    number = 0
    try:
        for number, row in _rows(piece, fields):
            try:
                document = _document(row, fields, piece.name, ":", number)
            except _Unusable as error:
                on_reject(Reject(file=str(piece.path), line=number, **error.about))
                continue
            yield document
    except (ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
        on_reject(Reject(file=str(piece.path), line=0, reason=UNREADABLE, detail=f"{error}; last row read: {number}"))


def _rows(piece: Piece, fields: Fields) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a piece as JSON would have them, each with its number in the file, from 1."""
    from pyarrow import parquet

    with parquet.ParquetFile(piece.path) as file:
        groups = range(piece.begin, file.num_row_groups if piece.end is None else piece.end)
        number = 1 + sum(file.metadata.row_group(group).num_rows for group in range(piece.begin))
        keys = (fields.id, fields.text, fields.source, fields.licence)
        columns = [name for name in file.schema_arrow.names if any(f"{key}.".startswith(f"{name}.") for key in keys)]
        for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=list(groups), columns=columns, use_threads=False):
            rows = batch.to_pylist() if columns else [{}] * batch.num_rows
            yield from enumerate(rows, start=number)
            number += len(rows)
