"""Each cleaning rule does what its name says, and leaves good text alone."""

import pytest

from data_tools.text.cleaning import LONGEST_URL, NORMALISERS, fix_unicode, normalise_line_breaks, remove_long_urls

GOOD = "A “quoted” title\n\nSELECT a, b FROM t;\n    indented = 1\n\nSee https://www.postgresql.org/docs for more."


@pytest.mark.parametrize("rule", NORMALISERS)
def test_a_rule_leaves_good_text_alone(rule):
    assert NORMALISERS[rule](GOOD) == GOOD


@pytest.mark.parametrize("rule", NORMALISERS)
def test_a_rule_applied_twice_changes_nothing_more(rule):
    bad = "schÃ¶n \r\n\r\n\r\n\r\n x \x00\u2028 https://example.org/" + "a" * 99 + " end\n\n\n\n"
    once = NORMALISERS[rule](bad)
    assert NORMALISERS[rule](once) == once


def test_repeated_line_breaks_become_one_empty_line():
    assert normalise_line_breaks("a\r\n\r\n\r\nb\n \n\t\nc\rd\n\n") == "a\n\nb\n\nc\nd"


def test_long_urls_are_removed_and_short_ones_kept():
    short, long = "https://a.org/b", "https://a.org/" + "b" * LONGEST_URL
    assert remove_long_urls(f"see {short} and {long} there") == f"see {short} and  there"


def test_malformed_unicode_is_mended():
    assert fix_unicode("schÃ¶n") == "schön"
    assert fix_unicode("a\x00b\ud800").encode() == "ab\ufffd".encode()
