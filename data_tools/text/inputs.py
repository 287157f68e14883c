"""What a user names, to files of documents, to shards: the parts of the input that workers take one by one.

Files, folders and globs are looked up in the order in which they are named, what is found in each sorted by name; a
file that is named twice is read once. The shards follow from the files and their sizes alone, so the output is the same
whoever does them.
"""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from data_tools.corpus.manifest import is_finished, read_manifest
from data_tools.errors import InputError

LINES = (".jsonl", ".gz", ".zst")
"""Endings of files of JSON lines."""

PARQUET = (".parquet",)
TEXT = (".txt", ".md")
"""Endings of files that are one document each."""

IN_FOLDERS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json.gz", ".json.zst", *PARQUET, *TEXT)
"""What is taken for documents where it wasn't named itself: a .tar.gz is not."""

DOCUMENT_FILES = "documents*.jsonl.zst"
"""In an artifact."""

SHARD_BYTES = 64 << 20
"""Of JSON, as it is when decompressed."""

EXPANSION = 4
"""About as many times larger are compressed files and Parquet when they are read."""


@dataclass(frozen=True)
class Inputs:
    """Files of documents; a sequence of paths that also knows what to call them."""

    files: tuple[Path, ...]
    names: tuple[str, ...]
    """What documents without an id are named after: the path below the folder that was named, or the file's name."""
    passed_over: int = 0
    """Files in the folders that hold no documents, by their names."""
    artifacts: tuple[Path, ...] = ()
    """The folders that some of the files are outputs of."""

    def __iter__(self) -> Iterator[Path]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def named(self) -> dict[str, Path]:
        """The inputs of a step, for its manifest: artifacts, which are hashed already, and files.

        The names tell files of equal bytes apart, since a file under another name gives other ids.
        """
        whole = {f"{number}: {folder.name}": folder for number, folder in enumerate(self.artifacts)}
        files = {f"{number}: {self.names[number]}": path for number, path in enumerate(self.files)}
        return whole | {name: path for name, path in files.items() if path.parent not in self.artifacts}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one file: the lines that begin in [begin, end), of Parquet those row groups, else all of it."""

    path: Path
    name: str
    begin: int = 0
    end: int | None = None
    """None: the end of the file."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Pieces that one worker reads, in order."""

    pieces: tuple[Piece, ...]


def inputs_of(paths: Sequence[Path]) -> Inputs:
    """The files that are meant.

    Args:
        paths: files (.jsonl, .jsonl.gz, .jsonl.zst, .parquet; .txt and .md, which are one document each), folders that
            are searched for such files, artifacts that hold documents, and globs.

    Raises:
        InputError: nothing is there, or it is no file of documents.
    """
    found: dict[str, tuple[Path, str]] = {}
    passed_over = 0
    for path in paths:
        named, others = _named(path)
        passed_over += others
        if not named:
            raise InputError(
                where=str(path), found=f"no file of documents ({others} others)" if others else "no file",
                expected="files that end in " + ", ".join(IN_FOLDERS), fix="Correct the path, or name other files.",
            )  # fmt: skip
        for file, name in named:
            found.setdefault(os.path.abspath(file), (file, name))
    files = tuple(file for file, _ in found.values())
    names = _told_apart(list(found), [name for _, name in found.values()])
    return Inputs(files, names, passed_over, tuple(path for path in dict.fromkeys(paths) if is_finished(path)))


def shards_of(inputs: Inputs, shard_bytes: int = SHARD_BYTES) -> list[Shard]:
    """The parts of the input, of about `shard_bytes` each; large files are cut and small ones put together."""
    shards: list[Shard] = []
    pieces: list[Piece] = []
    size = 0
    for path, name in zip(inputs.files, inputs.names, strict=True):
        for piece, weight in _pieces(path, name, shard_bytes):
            if pieces and size + weight > shard_bytes:
                shards.append(Shard(tuple(pieces)))
                pieces, size = [], 0
            pieces.append(piece)
            size += weight
    return [*shards, Shard(tuple(pieces))] if pieces else shards


def is_parquet(path: Path) -> bool:
    return path.name.endswith(PARQUET)


def is_text(path: Path) -> bool:
    return path.name.endswith(TEXT)


def _named(path: Path) -> tuple[list[tuple[Path, str]], int]:
    """The files of documents that one argument stands for, with their names, and the number of other files."""
    if path.is_dir():
        return (_of_artifact(path), 0) if is_finished(path) else _of_folder(path)
    if path.exists():
        if not path.name.endswith(LINES + PARQUET + TEXT):
            raise InputError(
                where=str(path), found=f"a file that ends in '{path.suffix}'",
                expected="one of " + ", ".join(IN_FOLDERS),
                fix="Give it the ending of what it holds, or name another file.",
            )  # fmt: skip
        return [(path, path.name)], 0
    if not glob.has_magic(str(path)):
        raise InputError(
            where=str(path), found="no such file or folder", expected="a file or folder of documents",
            fix="Correct the path; documents are .jsonl, .jsonl.gz, .jsonl.zst, .parquet, .txt or .md files.",
        )  # fmt: skip
    return _of_glob(path)


def _of_glob(path: Path) -> tuple[list[tuple[Path, str]], int]:
    fixed = Path(*next(path.parts[:n] for n, part in enumerate(path.parts) if glob.has_magic(part)))
    named, others = [], 0
    for match in sorted(map(Path, glob.glob(str(path), recursive=True))):
        if match.is_dir() and "**" not in path.parts:  # which finds the files in it too
            below, more = _of_folder(match)
            named += [(file, str(file.relative_to(fixed))) for file, _ in below]
            others += more
        elif match.is_file() and match.name.endswith(IN_FOLDERS):
            named.append((match, str(match.relative_to(fixed))))
        else:
            others += match.is_file()
    return named, others


def _of_folder(folder: Path) -> tuple[list[tuple[Path, str]], int]:
    """All below a folder, but for what is hidden."""
    named, others = [], 0
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        seen = [name for name in files if not name.startswith(".")]
        good = [Path(parent, name) for name in seen if name.endswith(IN_FOLDERS)]
        named += [(file, file.relative_to(folder).as_posix()) for file in good]
        others += len(seen) - len(good)
    return sorted(named, key=lambda entry: entry[1]), others


def _of_artifact(folder: Path) -> list[tuple[Path, str]]:
    outputs = sorted(read_manifest(folder).outputs)
    named = [(folder / name, name) for name in outputs if fnmatch(name, DOCUMENT_FILES) and "/" not in name]
    if not named:
        parts = sorted({name.split("/")[0] for name in outputs if name.endswith(".jsonl.zst")})
        raise InputError(
            where=str(folder), found="an artifact of parts" if parts else "an artifact without documents",
            expected="one that `data clean` or `data dedup` made, or a part",
            fix=f"Name one of its parts: {', '.join(parts)}." if parts else "Name another folder.",
        )  # fmt: skip
    return named


def _told_apart(paths: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The names; where several files share one, their paths below the folder that those files share."""
    uses = Counter(names)
    common: dict[str, str] = {}
    for path, name in zip(paths, names, strict=True):
        if uses[name] > 1:
            common[name] = os.path.commonpath([common.get(name, path), path])
    return tuple(
        os.path.relpath(path, common[name]) if uses[name] > 1 else name
        for path, name in zip(paths, names, strict=True)
    )


def _pieces(path: Path, name: str, shard_bytes: int) -> Iterator[tuple[Piece, int]]:
    """The pieces of a file, each with its weight in bytes."""
    size = path.stat().st_size
    if path.suffix == ".jsonl":
        count = -(-size // shard_bytes) or 1
        bounds = [size * n // count for n in range(count)] + [size]
        for begin, end in zip(bounds, bounds[1:], strict=False):
            yield Piece(path, name, begin, end), end - begin
    elif is_parquet(path) and size * EXPANSION > shard_bytes:
        groups = _row_groups(path)
        count = min(-(-size * EXPANSION // shard_bytes), groups)
        bounds = [groups * n // count for n in range(count)] + [groups] if count else []
        for begin, end in zip(bounds, bounds[1:], strict=False):
            yield Piece(path, name, begin, end), size * EXPANSION // count
        if not count:
            yield Piece(path, name), size
    else:
        yield Piece(path, name), size if is_text(path) else size * EXPANSION


def _row_groups(path: Path) -> int:
    """Their number; none in a file that can't be read, which its reader tells."""
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        return parquet.read_metadata(path).num_row_groups
    except (arrow.ArrowException, OSError):
        return 0
