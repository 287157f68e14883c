"""The documents' names, in the order of the corpus: memory-mapped, so that any is read without the others.

`<prefix>.names.bin` holds them in UTF-8, one after another; `<prefix>.names.npy` where each begins, and at last where
the last ends (int64).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from data_tools.corpus.arrays import npy_header
from data_tools.corpus.groups import page_of, write_groups
from data_tools.corpus.indexed import CHUNK, file_of
from data_tools.corpus.keys import key_of, page_key
from data_tools.errors import InputError


class NameFiles:
    """What has to be known of names until a corpus is put together, appended to four files in a folder."""

    FILES = ("names.bin", "names.lengths", "names.pages", "names.keys")
    """Names in UTF-8; their lengths in bytes, int32; keys of their pages, 64 bits; their own keys, 128 bits."""

    def __init__(self, folder: Path):
        self._files = [(folder / name).open("wb") for name in self.FILES]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for file in self._files:
            file.close()

    def add(self, names: Sequence[str]) -> None:
        encoded = [name.encode("utf-8", "replace") for name in names]
        parts = (
            b"".join(encoded),
            np.fromiter(map(len, encoded), dtype=np.int32, count=len(encoded)),
            b"".join(page_key(page_of(name)) for name in names),
            b"".join(map(key_of, names)),
        )
        for file, part in zip(self._files, parts, strict=True):
            file.write(part)


def write_sidecars(prefix: Path, folder: Path, *, kind: str, generator: int = 0) -> int:
    """Make the files that `NameFiles` left in a folder names and groups of a corpus. Returns the number of groups."""
    joined, lengths, pages, keys = (folder / name for name in NameFiles.FILES)
    write_names(prefix, joined, lengths)
    groups = write_groups(prefix, pages, kind=kind, generator=generator)
    for used in (lengths, pages, keys):
        used.unlink()
    return groups


def write_names(prefix: Path, joined: Path, lengths: Path) -> None:
    """Make those of a corpus out of a file of names joined, which is moved, and one of their lengths, int32."""
    joined.rename(file_of(prefix, ".names.bin"))
    count, offset = lengths.stat().st_size // 4, 0
    with file_of(prefix, ".names.npy").open("wb") as file, lengths.open("rb") as stream:
        file.write(npy_header(np.dtype(np.int64), (count + 1,)))
        file.write(np.int64(0).tobytes())
        for _ in range(0, count, CHUNK):
            ends = offset + np.cumsum(np.fromfile(stream, dtype=np.int32, count=CHUNK), dtype=np.int64)
            file.write(ends)
            offset = int(ends[-1])


class Names:
    """Names of the documents of a corpus: `names[number]`, `len(names)`, and in order."""

    def __init__(self, prefix: Path):
        self._starts = np.load(file_of(prefix, ".names.npy"), mmap_mode="r")
        path = file_of(prefix, ".names.bin")
        self._path = path
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.empty(0, np.uint8)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < len(self):
            raise IndexError(number)
        name = bytes(self._bytes[self._starts[number] : self._starts[number + 1]])
        try:
            return name.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                where=str(self._path), found=f"a name of document {number} that can't be read ({error.reason})",
                expected="UTF-8", fix="Look for damage with `megatron-ext data verify`; `data repair` mends names.",
            ) from None  # fmt: skip

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))
