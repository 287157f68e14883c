"""Scores as the field computes them, worked by hand; and intervals against their closed forms."""

import math

import pytest

from data_tools.errors import InputError
from data_tools.recall.scoring import exact_match, f1, mean, normalise, require_rules, share


@pytest.mark.parametrize(("text", "expected"), [
    ("The Eiffel Tower!", "eiffel tower"),
    ("  a\tcat,  an owl\nand THE dog ", "cat owl and dog"),
    ("U.S.", "us"),  # punctuation leaves no space
    ("well-known", "wellknown"),
    ("theatre anthem", "theatre anthem"),  # articles are whole words
    ("$1,000.50", "100050"),
    ("the", ""),
])  # fmt: skip
def test_squads_rules_drop_case_punctuation_and_articles(text, expected):
    assert normalise(text) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("U.S.", "u s"),
    ("well-known_fact", "well known fact"),
    ("‘The Wall’", "wall"),
])  # fmt: skip
def test_triviaqas_rules_put_a_space_where_punctuation_was(text, expected):
    assert normalise(text, "triviaqa") == expected


def test_an_answer_is_right_if_it_is_any_of_the_right_ones():
    assert exact_match("the Denver Broncos.", ["Carolina Panthers", "Denver Broncos"]) == 1
    assert exact_match("Broncos", ["Denver Broncos"]) == 0


@pytest.mark.parametrize(("answer", "right", "expected"), [
    ("Denver Broncos", ["the Denver Broncos"], 1.0),
    ("Broncos", ["Denver Broncos"], 2 / 3),  # precision 1, recall 1/2
    ("it was the Denver Broncos team", ["Denver Broncos"], 4 / 7),  # 2 of 5 words, 2 of 2
    ("cat cat dog", ["cat"], 1 / 2),  # a word counts as often as both have it: 1 of 3, 1 of 1
    ("blue", ["red", "dark blue"], 2 / 3),  # the best of several
    ("blue", ["red"], 0.0),
    ("", ["red"], 0.0),
    ("the", ["a"], 1.0),  # nothing is left of either
])  # fmt: skip
def test_f1_counts_the_words_that_both_have(answer, right, expected):
    assert f1(answer, right) == pytest.approx(expected)


def test_wilsons_interval_is_the_published_one():
    """Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for hits, of, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
                                (1, 29, 0.0061, 0.1718)):  # fmt: skip
        found = share([1.0] * hits + [0.0] * (of - hits))
        assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_the_bootstraps_interval_is_that_of_a_binomial_where_values_are_0_and_1():
    values = [1.0] * 300 + [0.0] * 700
    found, deviation = mean(values), math.sqrt(0.3 * 0.7 / 1000)
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - 1.96 * deviation, abs=0.003)
    assert found.high == pytest.approx(0.3 + 1.96 * deviation, abs=0.003)
    assert mean(values[::-1]) == found  # on any day, in any order


def test_unknown_rules_are_refused():
    with pytest.raises(InputError, match="squad or triviaqa"):
        require_rules("bleu")
