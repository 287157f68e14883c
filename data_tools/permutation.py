"""A keyed shuffle of 0 .. n-1 that is never held in memory: any place, either way, in constant time.

A Feistel network over a grid of about sqrt(n) x sqrt(n) cells. The grid has fewer than sqrt(n) + 1 cells too many; a
value that falls on one is sent through again until it falls inside (cycle walking), which keeps it a permutation.

Source: Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains (generalised Feistel, cycle walking).
"""

import hashlib
import math
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

ROUNDS = 6
MASK = (1 << 64) - 1


def keyed_hash(*key: str | int, size: int = 8) -> bytes:
    """BLAKE2b of a tuple of names and numbers: the same on every machine, in every process."""
    text = "\0".join(f"{type(part).__name__}:{part}" for part in key)
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


class Permutation:
    """A shuffle of range(n), one for each key.

    Args:
        n: entries, at least 1.
        key: names and numbers that choose the shuffle.
    """

    __slots__ = ("_columns", "_keys", "_rows", "n")

    def __init__(self, n: int, key: tuple[str | int, ...]):
        if n < 1:
            raise ValueError(f"a permutation of {n} entries")
        self.n = n
        self._rows = math.isqrt(n - 1) + 1
        self._columns = -(-n // self._rows)
        keys = struct.unpack(f"<{ROUNDS}Q", keyed_hash(*key, size=8 * ROUNDS))
        self._keys = tuple(zip(keys[::2], keys[1::2], strict=True))

    def at(self, i: int) -> int:
        """What stands at place i. IndexError outside 0 .. n-1."""
        self._require(i)
        rows, columns, keys = self._rows, self._columns, self._keys
        while True:
            row, column = divmod(i, columns)
            for first, second in keys:
                row = (row + _mix(column + first)) % rows
                column = (column + _mix(row + second)) % columns
            i = row * columns + column
            if i < self.n:
                return i

    def inverse(self, j: int) -> int:
        """The place i with at(i) == j. IndexError outside 0 .. n-1."""
        self._require(j)
        rows, columns = self._rows, self._columns
        while True:
            row, column = divmod(j, columns)
            for first, second in reversed(self._keys):
                column = (column - _mix(row + second)) % columns
                row = (row - _mix(column + first)) % rows
            j = row * columns + column
            if j < self.n:
                return j

    def inverses(self, values: "np.ndarray") -> "np.ndarray":
        """`inverse` of many at once, as int64. IndexError if one is outside 0 .. n-1."""
        if len(values) and not 0 <= values.min() <= values.max() < self.n:
            raise IndexError(f"{values.min()} to {values.max()} are not in a permutation of {self.n} entries")
        rows, columns = self._rows, self._columns
        found = values.astype("uint64")
        walking = slice(None)  # then only those that fell on a cell too many
        while found[walking].size:
            row, column = divmod(found[walking], columns)
            for first, second in reversed(self._keys):
                column = (column + columns - _mix(row + second) % columns) % columns  # unsigned: never below 0
                row = (row + rows - _mix(column + first) % rows) % rows
            found[walking] = row * columns + column
            walking = found >= self.n
        return found.astype("int64")

    def _require(self, i: int) -> None:
        if not 0 <= i < self.n:
            raise IndexError(f"{i} is not in a permutation of {self.n} entries")


def _mix(x: int) -> int:
    """SplitMix64's finaliser: every bit of x reaches every bit of the result."""
    x &= MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)
