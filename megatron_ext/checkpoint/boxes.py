"""A stretch of an array, read row by row, as boxes of it: what a checkpoint can take of a parameter."""

import math
from collections.abc import Iterator

Box = tuple[tuple[int, ...], tuple[int, ...]]
"""Offsets and sizes, by dimension."""


def boxes_of(shape: tuple[int, ...], start: int, stop: int) -> Iterator[Box]:
    """The stretch [start, stop) of a row-major array, in order, as few boxes."""
    if start >= stop:
        return
    if len(shape) <= 1:
        yield (start,) * len(shape), (stop - start,) * len(shape)
        return
    row = math.prod(shape[1:])
    first = start // row
    end = min(stop, (first + 1) * row)
    if end - start < row:
        yield from _in_row(first, boxes_of(shape[1:], start - first * row, end - first * row))
    else:
        end = stop - stop % row
        yield (first, *(0 for _ in shape[1:])), (end // row - first, *shape[1:])
    yield from boxes_of(shape, end, stop)


def _in_row(row: int, boxes: Iterator[Box]) -> Iterator[Box]:
    return (((row, *offsets), (1, *sizes)) for offsets, sizes in boxes)
