"""Pairs packed into rows, best fit, as a pure function of how many there are of each length.

Longest first, each pair goes into the row that it fills best (best-fit decreasing). Rows that are filled alike are
handled, and remembered, as one group: what is held grows with the number of different lengths, not of pairs, and 100M
pairs take as long as 1M. A row names its pairs by length and number among those of that length: which pair that is may
change from epoch to epoch, so that a pair's companions do.

Source of best-fit packing for training: Ding et al. 2024, Fewer Truncations Improve Language Modeling.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class _Slot:
    """Pairs of one length in every row of a group."""

    length: int
    count: int
    """In each row."""
    first: int
    """Number of the first one, among the pairs of that length, in the group's first row."""

    def after(self, rows: int) -> "_Slot":
        """The same in a group that begins so many rows later."""
        return _Slot(self.length, self.count, self.first + rows * self.count)


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that are filled with the same lengths."""

    rows: int
    slots: tuple[_Slot, ...]

    def split(self, rows: int) -> tuple["_Group", "_Group"]:
        rest = tuple(slot.after(rows) for slot in self.slots)
        return _Group(rows, self.slots), _Group(self.rows - rows, rest)

    def with_slot(self, slot: _Slot) -> "_Group":
        return _Group(self.rows, (*self.slots, slot))


class Packing:
    """The rows of one epoch.

    Args:
        histogram: shape (capacity + 1,); entry n is the number of pairs that take n positions, entry 0 is 0.
        capacity: positions of a row.
    """

    def __init__(self, histogram: np.ndarray, capacity: int):
        self.capacity = capacity
        self.used = int((histogram * np.arange(len(histogram))).sum())
        """Positions that hold real tokens."""
        self._groups = list(_pack(histogram, capacity))
        self._ends = np.cumsum([group.rows for group in self._groups]).tolist()

    @property
    def rows(self) -> int:
        return self._ends[-1] if self._ends else 0

    def row(self, number: int) -> Iterator[tuple[int, int]]:
        """(length, number among the pairs of that length) of every pair of a row, counted from 0."""
        place = bisect_right(self._ends, number)
        group = self._groups[place]
        inside = number - (self._ends[place] - group.rows)
        for slot in group.slots:
            for pair in range(slot.count):
                yield slot.length, slot.first + inside * slot.count + pair


def _pack(histogram: np.ndarray, capacity: int) -> Iterator[_Group]:
    free = _Free()
    for length in np.flatnonzero(histogram)[::-1].tolist():
        left = int(histogram[length])
        placed = 0
        while left:
            room, group = free.take(length) or (capacity, _Group(left, ()))
            fit = room // length
            rows = min(group.rows, left // fit)
            if rows == 0:  # fewer are left than one row takes
                rows, fit = 1, left
            filled, rest = group.split(rows)
            if rest.rows and group.slots:
                free.put(room, rest)
            free.put(room - fit * length, filled.with_slot(_Slot(length, fit, placed)))
            placed, left = placed + rows * fit, left - rows * fit
    yield from free.all()


class _Free:
    """Groups of rows by the room that is left in them."""

    def __init__(self) -> None:
        self._rooms: list[int] = []
        self._groups: dict[int, list[_Group]] = {}

    def put(self, room: int, group: _Group) -> None:
        if room not in self._groups:
            insort(self._rooms, room)
            self._groups[room] = []
        self._groups[room].append(group)

    def take(self, length: int) -> tuple[int, _Group] | None:
        """The tightest group into which a pair of this length goes, and its room."""
        place = bisect_left(self._rooms, length)
        if place == len(self._rooms):
            return None
        room = self._rooms[place]
        group = self._groups[room].pop()
        if not self._groups[room]:
            del self._groups[room], self._rooms[place]
        return room, group

    def all(self) -> Iterator[_Group]:
        for room in self._rooms:
            yield from self._groups[room]
