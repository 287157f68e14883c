"""Repetitions are told by runs of normalised words."""

from data_tools.text.shingles import normalised, normalised_words, repeats_a_shingle


def test_case_punctuation_and_digits_do_not_count():
    assert normalised_words("The VACUUM, 2nd: command_") == ["the", "vacuum", "nd", "command"]
    assert normalised("The VACUUM, 2nd: command_") == "the vacuum nd command"


def test_a_run_that_occurs_twice_is_a_repetition():
    run = list("abcdefghijklm")
    assert repeats_a_shingle(run + ["x"] + run)
    assert not repeats_a_shingle(run + ["x"] + run[:12])
    assert not repeats_a_shingle(run[:5])
