"""Shared runs of tokens are found exactly: as by sets of tuples, and whatever the hashes do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.text.near_duplicates import rolling_hashes, share_a_shingle

TOKENS = st.lists(st.integers(0, 2), max_size=12)  # few and small, so that runs are shared by chance


def by_sets(d1, d2, size):
    runs = {tuple(d1[i : i + size]) for i in range(len(d1) - size + 1)}
    return any(tuple(d2[i : i + size]) in runs for i in range(len(d2) - size + 1))


def found(firsts, seconds, owners, size, **arguments):
    arrays = ([np.array(tokens, dtype=np.uint16) for tokens in documents] for documents in (firsts, seconds))
    return share_a_shingle(*arrays, np.array(owners, dtype=np.int64), size=size, **arguments).tolist()


def all_alike(tokens, size):
    return np.zeros(len(tokens) - size + 1, dtype=np.uint64)


def by_sum(tokens, size):
    """Alike for a run and its anagrams."""
    sums = np.convolve(tokens.astype(np.int64), np.ones(size, dtype=np.int64), "valid")
    return sums.astype(np.uint64) << np.uint64(50)


@pytest.mark.parametrize("hashes", [rolling_hashes, all_alike, by_sum])
@settings(max_examples=150, deadline=None)
@given(data=st.data(), firsts=st.lists(TOKENS, min_size=1, max_size=4), size=st.integers(1, 5))
def test_the_answer_is_that_of_sets_of_tuples_even_if_hashes_collide(hashes, data, firsts, size):
    pairs = data.draw(st.lists(st.tuples(st.integers(0, len(firsts) - 1), TOKENS), max_size=8))
    owners, seconds = [owner for owner, _ in pairs], [tokens for _, tokens in pairs]
    expected = [by_sets(firsts[owner], tokens, size) for owner, tokens in pairs]
    assert found(firsts, seconds, owners, size, hashes=hashes) == expected


def test_a_planted_run_is_found_at_either_end_and_one_token_less_is_not():
    chance = np.random.default_rng(3)
    run = chance.integers(0, 50_000, 13).tolist()
    others = [chance.integers(0, 50_000, length).tolist() for length in (300, 13, 0, 40)]
    seconds = [run + others[0], others[0] + run, others[1] + run + others[3], run, run[:12] + others[0], others[0]]
    firsts = [others[3] + run, run + others[3]]
    assert found(firsts, seconds, [0, 0, 1, 1, 1, 0], 13) == [True, True, True, True, False, False]


def test_a_run_that_only_another_first_document_holds_does_not_count():
    run, other = list(range(13)), list(range(100, 113))
    assert found([run, other], [run, run, other, other], [0, 1, 0, 1], 13) == [True, False, False, True]


def test_a_run_over_the_border_of_two_documents_does_not_count():
    run = list(range(13))
    assert found([run], [run[:6], run[6:]], [0, 0], 13) == [False, False]
    assert found([run[:6], run[6:]], [run], [0], 13) == [False]


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_equal_runs_have_equal_hashes_wherever_they_stand(dtype):
    tokens = np.random.default_rng(1).integers(0, 60_000, 500).astype(dtype)
    hashes = rolling_hashes(np.concatenate([tokens, tokens[:77], tokens]), 13)
    assert (hashes[: 500 - 12] == hashes[577:]).all()
    assert len(np.unique(hashes[: 500 - 12])) == 500 - 12
