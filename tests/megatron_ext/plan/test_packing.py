"""Pairs in rows: each once, none too many, hardly a position wasted, and as fast for 100M as for 1M."""

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from megatron_ext.plan.packing import Packing

CAPACITY = 64
HISTOGRAMS = st.dictionaries(st.integers(1, CAPACITY), st.integers(1, 200), min_size=1)


def histogram(counts: dict[int, int], capacity: int = CAPACITY) -> np.ndarray:
    found = np.zeros(capacity + 1, dtype=np.int64)
    for length, count in counts.items():
        found[length] = count
    return found


def realistic(pairs: int, capacity: int) -> np.ndarray:
    """Lengths of pairs of documents of very different lengths, a fifth of a row on average."""
    lengths = np.random.default_rng(1).lognormal(np.log(capacity * 0.2), 0.6, min(pairs, 100_000)).astype(int)
    counts = np.bincount(lengths.clip(2, capacity), minlength=capacity + 1)
    return counts * max(1, pairs // 100_000)


@given(counts=HISTOGRAMS)
def test_every_pair_has_one_place_and_no_row_holds_too_many(counts):
    packing = Packing(histogram(counts), CAPACITY)
    rows = [list(packing.row(number)) for number in range(packing.rows)]
    places = [place for row in rows for place in row]
    assert sorted(places) == sorted((length, i) for length, count in counts.items() for i in range(count))
    assert all(row and sum(length for length, _ in row) <= CAPACITY for row in rows)
    assert packing.used == sum(length for length, _ in places)


@given(counts=HISTOGRAMS)
def test_no_two_rows_could_be_one(counts):
    packing = Packing(histogram(counts), CAPACITY)
    sums = sorted(sum(length for length, _ in packing.row(number)) for number in range(packing.rows))
    assert len(sums) < 2 or sums[0] + sums[1] > CAPACITY


def test_pairs_of_many_lengths_leave_less_than_a_hundredth_of_the_positions_empty():
    packing = Packing(realistic(3_500, 1024), 1024)
    assert packing.used / (packing.rows * 1024) > 0.99


def test_a_hundred_million_pairs_are_packed_at_once():
    started = time.monotonic()
    packing = Packing(realistic(100_000_000, 8192), 8192)
    assert packing.rows > 10_000_000
    assert list(packing.row(packing.rows - 1))
    assert time.monotonic() - started < 10
