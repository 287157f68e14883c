"""Packing: nothing lost, nothing twice, hardly anything empty, and no more work for more items."""

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatron_ext.plan.packing import Packing

HISTOGRAMS = st.dictionaries(st.integers(1, 40), st.integers(0, 60), max_size=20)


def realistic(items: int) -> dict[int, int]:
    """Lengths of pairs of documents of at most 4,096 tokens, log-normal as web pages are."""
    drawn = np.random.default_rng(1).lognormal(6.3, 0.9, size=(100_000, 2)).clip(8, 4096).astype(int).sum(axis=1) - 1
    lengths, counts = np.unique(drawn, return_counts=True)
    return {int(length): int(count) * items // 100_000 for length, count in zip(lengths, counts, strict=True)}


@given(histogram=HISTOGRAMS)
def test_every_item_has_one_slot_and_no_row_is_overfull(histogram):
    packing = Packing.of(histogram, 40)
    rows = [packing.row(number) for number in range(packing.rows)]
    assert all(rows)
    assert all(sum(length for length, _ in row) <= 40 for row in rows)
    assert sorted(item for row in rows for item in row) == [
        (length, number) for length in sorted(histogram) for number in range(histogram[length])
    ]


@given(histogram=HISTOGRAMS)
def test_rows_are_filled_as_by_placing_the_items_one_by_one(histogram):
    rooms: list[int] = []
    for length in sorted(histogram, reverse=True):
        for _ in range(histogram[length]):
            room = min((room for room in rooms if room >= length), default=None)
            if room is not None:
                rooms.remove(room)
            rooms.append((40 if room is None else room) - length)
    packing = Packing.of(histogram, 40)
    left = Counter(40 - sum(length for length, _ in packing.row(number)) for number in range(packing.rows))
    assert left == Counter(rooms)


@pytest.mark.parametrize("items", [100_000, 1_000_000])
def test_of_many_pairs_at_least_99_percent_of_all_positions_are_real(items):
    histogram = realistic(items)
    packing = Packing.of(histogram, 8192)
    assert sum(length * count for length, count in histogram.items()) >= 0.99 * packing.rows * 8192


def test_100_million_pairs_are_packed_in_seconds():
    started = time.perf_counter()
    packing = Packing.of(realistic(100_000_000), 8192)
    assert packing.row(packing.rows - 1)
    assert time.perf_counter() - started < 5


def test_a_row_outside_and_an_item_longer_than_a_row_are_refused():
    with pytest.raises(IndexError):
        Packing.of({3: 2}, 8).row(1)
    with pytest.raises(ValueError, match="1 .. 8"):
        Packing.of({9: 1}, 8)
