"""Near-duplicates and repetitions are told by runs of words."""

from data_tools.text.shingles import normalised_words, repeats_a_shingle, share_a_shingle, shingles


def test_case_punctuation_and_digits_do_not_count():
    assert normalised_words("The VACUUM, 2nd: command_") == ["the", "vacuum", "nd", "command"]


def test_thirteen_words_in_a_row_make_a_near_duplicate_and_twelve_do_not():
    run = [f"w{i}" for i in range(13)]
    assert share_a_shingle(["a", *run, "b"], ["c", "d", *run])
    assert not share_a_shingle(["a", *run[:12], "b"], ["c", "d", *run[:12], "e"])


def test_a_run_that_occurs_twice_is_a_repetition():
    run = list("abcdefghijklm")
    assert repeats_a_shingle(run + ["x"] + run)
    assert not repeats_a_shingle(run + ["x"] + run[:12])
    assert list(shingles("ab", 3)) == []
