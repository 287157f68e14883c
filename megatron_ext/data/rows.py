"""A row as arrays, and the stretches in it that keep to themselves.

Shape suffix: S tokens of a row.
"""

from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    """One sample, ready to be stacked. `positions_S` and `document_S` are None where the row is one stretch."""

    tokens_S: np.ndarray
    labels_S: np.ndarray
    """The token to be predicted at each position."""
    loss_mask_S: np.ndarray
    """float32; 1.0 where the label is to be learnt."""
    positions_S: np.ndarray | None = None
    """Counted from 0 in each stretch."""
    document_S: np.ndarray | None = None
    """int32; the position at which the stretch begins that a token belongs to. It attends to nothing before it."""


def stretches(begins: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """(positions_S, document_S) of a row of `length` tokens whose stretches begin at these positions, 0 among them."""
    document_S = np.zeros(length, dtype=np.int32)
    document_S[begins] = begins
    np.maximum.accumulate(document_S, out=document_S)
    return np.arange(length, dtype=np.int64) - document_S, document_S


def masked(length: int) -> Row:
    """A row that only fills up a batch: nothing in it is learnt."""
    zeros = np.zeros(length, dtype=np.int64)
    return Row(zeros, zeros, np.zeros(length, dtype=np.float32))
