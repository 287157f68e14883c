"""Parts of a corpus, made by whoever and whenever, to the corpus: in order, in bounded memory.

A part is a folder with its documents' tokens, their lengths, and their names (see `PartWriter`). Putting parts together
is copying: the same parts give the same bytes. For 60M documents the arrays that are held take less than 2 GB.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, file_of, write_index
from data_tools.corpus.keys import repeated
from data_tools.corpus.names import NameFiles, write_sidecars
from data_tools.errors import InputError
from data_tools.files import join_files

TOKENS, LENGTHS = "tokens.bin", "tokens.lengths"


class PartWriter:
    """Appends documents to the files of one part."""

    def __init__(self, folder: Path, dtype: np.dtype):
        self._dtype = dtype
        self._tokens, self._lengths = (folder / TOKENS).open("wb"), (folder / LENGTHS).open("wb")
        self._names = NameFiles(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for file in (self._tokens, self._lengths):
            file.close()
        self._names.__exit__()

    def add(self, tokens: np.ndarray, lengths: np.ndarray, names: list[str]) -> None:
        """Append documents: their tokens joined, end-of-document tokens included, their lengths, their names."""
        self._tokens.write(np.ascontiguousarray(tokens, dtype=self._dtype))
        self._lengths.write(np.ascontiguousarray(lengths, dtype=np.int32))
        self._names.add(names)


def assemble(
    parts: Iterable[Path], scratch: Path, *, dtype: np.dtype, kind: str, allow_repeated_names: bool, generator: int = 0
) -> dict[str, int]:
    """Write a corpus.

    Args:
        parts: folders of the parts, in order.
        scratch: folder that the corpus is written into.
        dtype: of the tokens.
        kind: what the documents are.
        generator: what wrote them: 0 people, 1 the model that the manifest names.
        allow_repeated_names: count documents whose name an earlier one has, instead of refusing them.

    Returns:
        documents, pages, tokens, repeated_names.

    Raises:
        InputError: two documents have one name. The parts stay.
    """
    prefix, folder, parts = scratch / CORPUS_PREFIX, scratch / "joined", list(parts)
    folder.mkdir(exist_ok=True)
    for name in (LENGTHS, *NameFiles.FILES):
        join_files([part / name for part in parts], folder / name)
    again = repeated(folder / "names.keys")
    if len(again) and not allow_repeated_names:
        raise _repeated(again, folder)
    join_files([part / TOKENS for part in parts], file_of(prefix, ".bin"))
    documents, tokens = write_index(prefix, dtype, folder / LENGTHS)
    pages = write_sidecars(prefix, folder, kind=kind, generator=generator)
    (folder / LENGTHS).unlink()
    folder.rmdir()
    return {"documents": documents, "pages": pages, "tokens": tokens, "repeated_names": len(again)}


def _repeated(again: np.ndarray, folder: Path) -> InputError:
    lengths = np.fromfile(folder / "names.lengths", dtype=np.int32)
    first, later = again[0].tolist()
    start = int(lengths[:later].sum(dtype=np.int64))
    with (folder / "names.bin").open("rb") as file:
        file.seek(start)
        name = file.read(int(lengths[later])).decode()
    return InputError(
        where=f"documents {first:,} and {later:,}", found=f"the same name '{name}' ({len(again):,} such documents)",
        expected="a name of its own for each document",
        fix="Was a file given twice? Remove it, or run `data dedup`. To keep them all, run the same command with"
        " --allow-repeated-names: what is finished is kept.",
        keeps_work=True,
    )  # fmt: skip
