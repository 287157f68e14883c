"""Probes become tokens as the field counts them, and passes in which every probe is asked once."""

from pathlib import Path

import numpy as np
import pytest

from data_tools.errors import InputError
from data_tools.text.tokenizer import Tokenizer
from megatron_ext.data.facts import Probe
from megatron_ext.knowledge.spans import Span, passes, rows_of, spans
from tests.support import make_corpus

FACTS = Path("facts.json")
LENGTHS = (5, 40, 12, 9, 9, 31, 17, 8, 24)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return Tokenizer.load(make_corpus(tmp_path_factory.mktemp("tokenizer")))


def made():
    """Spans of tokens that say which probe they are of."""
    return [Span(np.full(length, 100 + number), 1 + number % 3) for number, length in enumerate(LENGTHS)]


def all_passes(ranks, **limits):
    limits = {"most_tokens": 64, "most_rows": None} | limits
    return [list(passes(made(), rank=rank, ranks=ranks, **limits)) for rank in range(ranks)]


def test_the_target_is_encoded_behind_a_space_and_nothing_stands_around(tokenizer):
    (span,) = spans([Probe(0, "semantic", "select from", "where join")], tokenizer, path=FACTS)
    prompt, target = tokenizer.encode(["select from", " where join"])
    assert span.tokens.tolist() == prompt + target
    assert span.target == len(target)


class Joining:
    """Splits at every second space, so that the last word of a prompt may be joined with the first of a target."""

    def encode(self, texts):
        return [[sum(map(ord, part)) for part in _pairs(text)] for text in texts]


class Spaced(Joining):
    """Puts a space before every text."""

    def encode(self, texts):
        return [[sum(map(ord, word)) for word in f" {text}".split(" ")[1:]] for text in texts]


def _pairs(text):
    words = text.split(" ")
    return [" ".join(words[place : place + 2]) for place in range(0, len(words), 2) if any(words[place : place + 2])]


def test_where_words_are_joined_over_the_seam_the_target_is_encoded_on_its_own():
    encode = Joining().encode
    (span,) = spans([Probe(0, "semantic", "one", "two three")], Joining(), path=FACTS)
    assert span.tokens.tolist() == encode(["one"])[0] + encode([" two three"])[0]


def test_a_tokenizer_that_puts_a_space_before_every_text_puts_no_second_one():
    (span,) = spans([Probe(0, "semantic", "one", "two three")], Spaced(), path=FACTS)
    assert span.tokens.tolist() == Spaced().encode(["one two three"])[0]
    assert span.target == 2


class Mute(Joining):
    """Has no token for digits."""

    def encode(self, texts):
        return super().encode(["".join(letter for letter in text if not letter.isdigit()) for text in texts])


@pytest.mark.parametrize(("prompt", "target", "what"), [("1", "two", "a prompt"), ("one two", "3", "a target")])
def test_a_probe_of_which_no_token_is_left_is_refused(prompt, target, what):
    with pytest.raises(InputError, match=f"row 7, a probe of semantic: found {what}"):
        spans([Probe(7, "semantic", prompt, target)], Mute(), path=FACTS)


@pytest.mark.parametrize("ranks", [1, 2, 4, 7, 12])
@pytest.mark.parametrize("limits", [{}, {"most_tokens": 8}, {"most_tokens": 10_000}, {"most_rows": 2}])
def test_every_probe_is_asked_once_and_every_rank_has_passes_of_the_same_shapes(ranks, limits):
    by_rank = all_passes(ranks, **limits)
    shapes = [[(one.rows, one.width) for one in mine] for mine in by_rank]
    assert all(found == shapes[0] for found in shapes)
    assert sorted(probe for mine in by_rank for one in mine for probe in one.probes) == list(range(len(LENGTHS)))


@pytest.mark.parametrize("unit", [8, 16, 24])
def test_rows_are_as_wide_as_their_longest_probe_and_a_multiple_of_the_unit(unit):
    for one in all_passes(1, unit=unit)[0]:
        longest = max(LENGTHS[probe] for probe in one.probes) - 1
        assert one.width % unit == 0
        assert longest <= one.width < longest + unit


def test_a_pass_keeps_to_its_tokens_unless_one_row_has_more_or_rows_are_asked_for():
    assert all(one.rows * one.width <= 64 or one.rows == 1 for one in all_passes(1)[0])
    assert [one.rows for one in all_passes(1, most_rows=4)[0]] == [4, 4, 1]


def test_only_the_labels_of_the_target_count():
    (one,) = passes([Span(np.arange(1, 7), 2)], rank=0, ranks=1, most_tokens=64, most_rows=None)
    (row,) = rows_of(one, [Span(np.arange(1, 7), 2)])
    assert row.tokens_S.tolist() == [1, 2, 3, 4, 5, 6, 0, 0]
    assert row.labels_S[row.loss_mask_S == 1.0].tolist() == [5, 6]
    assert row.document_S is None
    assert row.positions_S.tolist() == list(range(8))


def test_a_rank_without_a_probe_is_given_rows_that_count_nothing():
    (one,) = list(passes(made(), rank=11, ranks=12, most_tokens=64, most_rows=None))
    assert one.probes == ()
    assert all(row.loss_mask_S.sum() == 0 for row in rows_of(one, made()))
