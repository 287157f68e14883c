"""Files of documents, one JSON object a line, to documents; every error knows its file and line.

`.jsonl`, `.jsonl.gz` and `.jsonl.zst` are read as streams. Keys: `id`, `text`, `source`, `licence`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from data_tools.corpus.groups import page_of
from data_tools.errors import InputError
from data_tools.files import require_file
from data_tools.lines import opened, write_lines

__all__ = ["Document", "page_of", "read_documents", "write_documents"]

KEYS = ("id", "text", "source", "licence")


@dataclass(frozen=True, slots=True)
class Document:
    """A text, its name, the collection it belongs to, and the terms it is under."""

    id: str
    text: str
    source: str
    licence: str


def read_documents(paths: Sequence[Path]) -> Iterator[Document]:
    """All documents of the files, in order.

    Raises:
        InputError: a file is missing or damaged, or a line isn't a document.
    """
    for path in paths:
        require_file(path, fix="Correct the path; documents are .jsonl, .jsonl.gz or .jsonl.zst files.")
        with opened(path) as lines:
            for number, line in enumerate(lines, start=1):
                yield _document(line, path=path, number=number)


def write_documents(path: Path, documents: Iterable[Document]) -> int:
    """Write documents to a .jsonl or .jsonl.zst file; the same documents give the same bytes. Returns their number."""
    return write_lines(path, (asdict(document) for document in documents))


def _document(line: str, *, path: Path, number: int) -> Document:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(
            where=f"{path}:{number}", found=f"no JSON ({error})", expected="one JSON object a line",
            fix="Correct or remove that line.",
        ) from None  # fmt: skip
    if not isinstance(row, dict):
        raise InputError(
            where=f"{path}:{number}", found=f"a {type(row).__name__}", expected="a JSON object with " + ", ".join(KEYS),
            fix="Correct or remove that line.",
        )  # fmt: skip
    for key in KEYS:
        if not isinstance(row.get(key), str):
            raise InputError(
                where=f"{path}:{number}, key '{key}'",
                found="no such key" if key not in row else f"a {type(row[key]).__name__}",
                expected="a string",
                fix="Add the key to that line, or remove the line.",
            )
    return Document(*(row[key] for key in KEYS))
