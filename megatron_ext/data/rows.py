"""One row of training data as arrays, without torch.

Shape suffix: S positions of a row. A position holds an input token and the token that follows it, its label.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True, slots=True)
class Row:
    """What one row feeds to the model. Arrays may be shared between rows: read only."""

    tokens_S: np.ndarray
    labels_S: np.ndarray
    loss_mask_S: np.ndarray
    """float32, 1.0 where the label is to be learnt."""
    positions_S: np.ndarray
    """int64, as rotary positions count: anew in each stretch."""
    document_S: np.ndarray | None = None
    """int32: the position at which the stretch begins that this token may attend to. None: the row is one stretch."""
    injected: int = 0
    """Positions at the front that an injected passage took."""


def row_of(tokens: np.ndarray, loss_mask_S: np.ndarray | None = None) -> Row:
    """S + 1 tokens in a row, int64, as one stretch; without a mask every label is learnt."""
    size = len(tokens) - 1
    return Row(tokens[:-1], tokens[1:], _ones(size) if loss_mask_S is None else loss_mask_S, _count(size))


def filling_row(size: int) -> Row:
    """A row that teaches nothing, where a batch has more places than samples."""
    nothing = np.zeros(size, dtype=np.int64)
    return Row(nothing, nothing, np.zeros(size, dtype=np.float32), _count(size))


def stretches(begins: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(positions, documents) of a row in stretches that don't see one another, from where they begin, rising from 0."""
    document_S = np.repeat(begins.astype(np.int32), np.diff(begins, append=size))
    return _count(size) - document_S, document_S


def round_ring(start: int, wanted: int, size: int) -> Iterator[tuple[int, int, int]]:
    """(first token, token after the last, place in the row) of the stretches of a ring of `size` that make up a row."""
    place = 0
    while place < wanted:
        stop = min(start + wanted - place, size)
        yield start, stop, place
        place += stop - start
        start = stop % size


@lru_cache(maxsize=8)
def _ones(size: int) -> np.ndarray:
    return _read_only(np.ones(size, dtype=np.float32))


@lru_cache(maxsize=8)
def _count(size: int) -> np.ndarray:
    return _read_only(np.arange(size, dtype=np.int64))


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
