"""Records that can't be used: listed with file, line and reason, counted, and no reason to stop while they are few.

A shard's worker writes its rejects beside its output; the step puts them together in one `rejects.jsonl`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from data_tools.lines import READ_AT_ONCE, lines_writer, read_lines

REJECTS = "rejects.jsonl"

MAX_BAD_SHARE = 0.001
"""Of the records; more are no accident, but a wrong key or a broken file."""

ALWAYS_ALLOWED = 10
"""Bad records, so that one of a few is not taken for many; unless none at all is allowed."""

EMPTY_TEXT = "an empty text"
"""A reason that is no fault of the file, and never fatal."""

SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A record that can't be used."""

    file: str
    line: int
    """From 1, of Parquet the row; 0 where it is the file as a whole, or the rest of it."""
    reason: str
    key: str = ""
    """That the reason is about, if it is about one."""
    detail: str = ""
    beginning: str = ""
    """Of the line."""
    counted_from: int = 0
    """Byte of the file at which the counting of lines began; `merge_rejects` makes it the beginning of the file."""

    @property
    def where(self) -> str:
        return (f"{self.file}:{self.line}" if self.line else self.file) + (f", key '{self.key}'" if self.key else "")

    @property
    def found(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


class Rejects:
    """Takes the rejects of one shard: writes them to its folder, if there are any, and counts them by reason."""

    def __init__(self, folder: Path):
        self.counts: Counter[str] = Counter()
        self._path = folder / REJECTS
        self._writing = lines_writer(self._path)
        self._write: Any = None

    def __call__(self, reject: Reject) -> None:
        if self._write is None:
            self._write = self._writing.__enter__()
        self.counts[reject.reason] += 1
        self._write(asdict(reject))

    def __enter__(self) -> "Rejects":
        return self

    def __exit__(self, *error: Any) -> None:
        if self._write is not None:
            self._writing.__exit__(*error)


def merge_rejects(folders: Iterable[Path], output: Path, *, read: int, max_bad_share: float) -> dict[str, int]:
    """Write the rejects of all shards to one file, if there are any; returns their numbers by reason.

    Args:
        folders: of the shards, in order.
        output: folder of the step.
        read: documents that were read.
        max_bad_share: share of the records that may be bad, 0 to 1.

    Raises:
        InputError: more are.
    """
    counts: Counter[str] = Counter()
    lines = LineCounter()
    with lines_writer(output / REJECTS) as write:
        for folder in folders:
            for row in read_lines(folder / REJECTS) if (folder / REJECTS).exists() else ():
                counts[row["reason"]] += 1
                write(_entry(lines.placed(Reject(**row))))
    _refuse_too_many(counts, output / REJECTS, read, max_bad_share)
    if not counts:
        (output / REJECTS).unlink()
    return dict(sorted(counts.items()))


class LineCounter:
    """Turns lines that were counted from the middle of a file into lines of the file; each file is read once."""

    def __init__(self) -> None:
        self._file, self._at, self._lines = "", 0, 0

    def placed(self, reject: Reject) -> Reject:
        """The reject with its line in the file. Rejects of one file come in the order of its lines."""
        if not reject.counted_from or not reject.line:
            return reject
        if (self._file, self._at) != (reject.file, reject.counted_from):
            if self._file != reject.file or self._at > reject.counted_from:
                self._file, self._at, self._lines = reject.file, 0, 0
            with Path(reject.file).open("rb") as file:
                file.seek(self._at)
                while block := file.read(min(READ_AT_ONCE, reject.counted_from - self._at)):
                    self._lines += block.count(b"\n")
                    self._at += len(block)
        return replace(reject, line=self._lines + reject.line, counted_from=0)


def _entry(reject: Reject) -> dict[str, Any]:
    return {name: value for name, value in asdict(reject).items() if value != "" and name != "counted_from"}


def _refuse_too_many(counts: Mapping[str, int], listed: Path, read: int, max_bad_share: float) -> None:
    empty = counts.get(EMPTY_TEXT, 0)
    bad = sum(counts.values()) - empty
    allowed = max(max_bad_share * (read + bad), ALWAYS_ALLOWED if max_bad_share else 0)
    if bad <= allowed:
        return
    rows = (Reject(**row) for row in read_lines(listed) if row["reason"] != EMPTY_TEXT)
    first = "; ".join(f"{reject.where}: {reject.found}" for reject in islice(rows, SHOWN))
    raise InputError(
        where="records of the input", found=f"{bad} of {read + bad} that can't be used, the first of them {first}",
        expected=f"at most a share of {max_bad_share:g}",
        fix="Correct the files, name the keys that they use, or raise --max-bad-share: what is finished is kept.",
        keeps_work=True,
    )  # fmt: skip
