"""Items of many lengths packed into rows of one size, best fit first, from the counts of the lengths alone.

Longest first, each item goes to the fullest row that it fits into. Rows that hold the same lengths are handled as one
group, so that time and memory grow with the number of distinct lengths, not of items: 100 million take about a second.
Which item of a length fills which slot is not decided here, so it may change from epoch to epoch.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class _Slots:
    """Items of one length in every row of a group."""

    length: int
    in_a_row: int
    first: int
    """Number, within its length, of the first of them in the group's first row; rows follow one another."""

    def beyond(self, rows: int) -> "_Slots":
        """The same slots, seen from a later row of the group."""
        return _Slots(self.length, self.in_a_row, self.first + rows * self.in_a_row)


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that are filled alike."""

    rows: int
    slots: tuple[_Slots, ...]

    def cut(self, rows: int) -> "tuple[_Group, _Group]":
        """The first so many rows, and the others."""
        rest = tuple(slots.beyond(rows) for slots in self.slots)
        return _Group(rows, self.slots), _Group(self.rows - rows, rest)

    def with_items(self, slots: _Slots) -> "_Group":
        return _Group(self.rows, (*self.slots, slots))


@dataclass(frozen=True)
class Packing:
    """Which lengths stand together in a row. Every item has one slot."""

    rows: int
    _groups: tuple[_Group, ...]
    _firsts: tuple[int, ...]
    """First row of each group."""

    @classmethod
    def of(cls, histogram: Mapping[int, int], capacity: int) -> "Packing":
        """Pack items into rows.

        Args:
            histogram: length -> items of it; lengths from 1 to `capacity`.
            capacity: length of a row.
        """
        if any(not 1 <= length <= capacity for length, count in histogram.items() if count):
            raise ValueError(f"lengths outside 1 .. {capacity}")
        rows = _Rows(capacity)
        for length in sorted(histogram, reverse=True):
            rows.add(length, histogram[length])
        groups = tuple(group for room in sorted(rows.by_room) for group in rows.by_room[room])
        firsts = tuple(accumulate((group.rows for group in groups), initial=0))
        return cls(firsts[-1], groups, firsts[:-1])

    def row(self, number: int) -> list[tuple[int, int]]:
        """(length, number within that length) of each item of a row, longest first. IndexError outside 0 .. rows-1."""
        if not 0 <= number < self.rows:
            raise IndexError(f"row {number} of {self.rows}")
        group = bisect_right(self._firsts, number) - 1
        place = number - self._firsts[group]
        return [
            (slots.length, slots.first + place * slots.in_a_row + item)
            for slots in self._groups[group].slots
            for item in range(slots.in_a_row)
        ]

    @cached_property
    def slots_of(self) -> dict[int, list[tuple[int, int, int]]]:
        """Length -> (first number within it, items in a row, first row) of each stretch of rows, by first number."""
        found: dict[int, list[tuple[int, int, int]]] = {}
        for group, first_row in zip(self._groups, self._firsts, strict=True):
            for slots in group.slots:
                found.setdefault(slots.length, []).append((slots.first, slots.in_a_row, first_row))
        return {length: sorted(stretches) for length, stretches in found.items()}


class _Rows:
    """The rows so far, by the room that is left in them."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.by_room: dict[int, list[_Group]] = {}
        self._rooms: list[int] = []
        """Keys of `by_room`, rising."""

    def add(self, length: int, count: int) -> None:
        """Place `count` items of a length that is no longer than any before."""
        placed = 0
        while placed < count:
            group, room = self._tightest(length)
            most = room // length
            if group is None:
                group = _Group(-(-(count - placed) // most), ())
            # What remains may not fill all rows of the group: only the last row that gets any may get fewer.
            full = min(group.rows, (count - placed) // most)
            for rows, items in ((full, most), (1, (count - placed) % most if full < group.rows else 0)):
                if rows and items:
                    filled, group = group.cut(rows)
                    self._keep(filled.with_items(_Slots(length, items, placed)), room - items * length)
                    placed += rows * items
            if group.rows:
                self._keep(group, room)

    def _tightest(self, length: int) -> tuple[_Group | None, int]:
        """The fullest group with room for the length, taken out; None and an empty row's room where there is none."""
        at = bisect_left(self._rooms, length)
        if at == len(self._rooms):
            return None, self.capacity
        room = self._rooms[at]
        groups = self.by_room[room]
        group = groups.pop()
        if not groups:
            del self.by_room[room], self._rooms[at]
        return group, room

    def _keep(self, group: _Group, room: int) -> None:
        if room not in self.by_room:
            self.by_room[room] = []
            insort(self._rooms, room)
        self.by_room[room].append(group)
