"""The keyed shuffle that plans and epochs are drawn with."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.permutation import Permutation


@given(n=st.integers(1, 3000), key=st.integers())
def test_a_permutation_holds_every_entry_once(n, key):
    shuffle = Permutation(n, (key,))
    assert sorted(map(shuffle.at, range(n))) == list(range(n))


@given(n=st.integers(1, 10**15), key=st.text(), data=st.data())
def test_an_entry_is_found_again_from_its_place(n, key, data):
    shuffle, i = Permutation(n, (key,)), data.draw(st.integers(0, n - 1))
    assert shuffle.inverse(shuffle.at(i)) == i
    assert shuffle.at(shuffle.inverse(i)) == i


@given(n=st.integers(1, 10**15), key=st.text(), data=st.data())
def test_many_entries_are_found_at_once_where_each_is_found(n, key, data):
    shuffle, entries = Permutation(n, (key,)), data.draw(st.lists(st.integers(0, n - 1), max_size=50))
    assert shuffle.inverses(np.array(entries, dtype=np.int64)).tolist() == [shuffle.inverse(j) for j in entries]


@pytest.mark.parametrize("n", [2, 5, 12, 101])
def test_every_entry_is_as_likely_at_every_place(n):
    keys = 400 * n
    seen = Counter(Permutation(n, (key,)).at(n // 3) for key in range(keys))
    chi_square = sum((seen[entry] - 400) ** 2 / 400 for entry in range(n))
    assert chi_square < (n - 1) + 5 * (2 * (n - 1)) ** 0.5


def test_a_place_outside_is_refused():
    with pytest.raises(IndexError):
        Permutation(3, ("key",)).at(3)
    for entries in ([0, 3], [-1]):
        with pytest.raises(IndexError):
            Permutation(3, ("key",)).inverses(np.array(entries))


def test_the_order_is_the_same_in_every_version():
    assert list(map(Permutation(10, ("key", 1)).at, range(10))) == EXPECTED


EXPECTED = [3, 9, 4, 0, 7, 1, 2, 5, 6, 8]
