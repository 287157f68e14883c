"""Arrays with a row for each document, in one memory-mapped `.npy` file that many processes fill.

Every process writes its rows at their place, so nothing is put together afterwards and no array is ever in memory
whole. Vectors have unit length. As int8 each is stretched until its largest component is 127, which leaves five times
less to rounding than one scale for all; its length is known, so dividing by what it has now gives it back.
"""

import os
from pathlib import Path

import numpy as np

from data_tools.corpus.arrays import npy_header
from data_tools.errors import EndedEarly, InputError

VECTORS = "vectors.npy"
INT8_LARGEST = 127
DTYPES = ("float16", "int8")


def unit(vectors: np.ndarray) -> np.ndarray:
    """The vectors in float32, divided by their length; one of length 0 stays as it is.

    Raises:
        EndedEarly: a component is no number. It would make every similarity with it meaningless.
    """
    floats = np.asarray(vectors, dtype=np.float32)
    if not np.isfinite(floats).all():
        raise EndedEarly("the embedding model gave values that are not numbers; try another dtype, engine or model")
    lengths = np.linalg.norm(floats, axis=1, keepdims=True)
    return floats / np.where(lengths > 0, lengths, 1)


def stored(vectors: np.ndarray, dtype: str) -> np.ndarray:
    """Unit vectors as they are kept: shape and order as given, float16 or int8."""
    if dtype == "int8":
        largest = np.abs(vectors).max(axis=1, keepdims=True)
        return np.rint(vectors * (INT8_LARGEST / np.where(largest > 0, largest, 1))).astype(np.int8)
    return vectors.astype(dtype)


class Vectors:
    """The vectors of an `embed` folder; rows are read as float32.

    Raises:
        InputError: there are none, or they are not a row of numbers for each of two documents or more.
    """

    def __init__(self, folder: Path):
        path = folder / VECTORS
        try:
            self._rows = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise InputError(
                where=str(path), found=f"no array that can be read ({error})", expected="vectors of documents",
                fix="Make them with `megatron-ext data embed`, or correct the path.",
            ) from None  # fmt: skip
        if self._rows.ndim != 2 or len(self._rows) < 2 or self._rows.dtype.name not in (*DTYPES, "float32"):
            raise InputError(
                where=str(path), found=f"{self._rows.dtype} of shape {self._rows.shape}",
                expected="float16, float32 or int8 of shape (documents, dimensions), two documents or more",
                fix="Embed more documents, or correct the path.",
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def dimensions(self) -> int:
        return self._rows.shape[1]

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Vectors of a stretch of documents."""
        return self._as_floats(self._rows[start:stop])

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """Vectors of some documents, in that order."""
        return self._as_floats(self._rows[numbers])

    def _as_floats(self, rows: np.ndarray) -> np.ndarray:
        floats = np.array(rows, dtype=np.float32, order="C")
        return unit(floats) if rows.dtype == np.int8 else floats


def put_rows(path: Path, start: int, rows: np.ndarray, *, of: int) -> None:
    """Write rows at their place in a `.npy` file of `of` rows; `flush` it before a record says that they are there.

    The first who comes makes the file. Several processes may come at once: the header is the same bytes from each, and
    each has rows of its own.
    """
    header = npy_header(rows.dtype, (of, *rows.shape[1:]))
    row_bytes = rows.dtype.itemsize * int(np.prod(rows.shape[1:]))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.ftruncate(descriptor, len(header) + of * row_bytes)  # holes until the rows come
        _write_at(descriptor, header, 0)
        _write_at(descriptor, np.ascontiguousarray(rows).tobytes(), len(header) + start * row_bytes)
    finally:
        os.close(descriptor)


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    left = memoryview(data)
    while left:  # one call writes 2 GB at most
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written
