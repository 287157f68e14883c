"""The documents' names, in the order of the corpus: memory-mapped, so that any is read without the others.

`<prefix>.names.bin` holds them in UTF-8, one after another; `<prefix>.names.npy` where each begins, and at last where
the last ends (int64).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_tools.corpus.indexed import file_of


class Names:
    """Names of the documents of a corpus: `names[number]`, `len(names)`, and in order."""

    def __init__(self, prefix: Path):
        self._starts = np.load(file_of(prefix, ".names.npy"), mmap_mode="r")
        path = file_of(prefix, ".names.bin")
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.empty(0, np.uint8)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < len(self):
            raise IndexError(number)
        return bytes(self._bytes[self._starts[number] : self._starts[number + 1]]).decode()

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))
