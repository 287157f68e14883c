"""What is read of a model's answers: verdicts of the judge, and forms about concepts. Strictly, or not at all."""

import re

import pytest

from data_tools.errors import InputError
from data_tools.quality.concepts import counted, record_of
from data_tools.quality.judge import VERDICTS, criteria

ALL = {each.measure: each for each in criteria(pairs=True)}


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("It is all well known.\nVerdict: correct", "correct"),
        ("Verdict: wrong\n\n", "wrong"),
        ("**Verdict: Unverifiable**.", "unverifiable"),
        ("verdict: **wrong**", "wrong"),
        ("Verdict: wrong\nVerdict: wrong", "wrong"),
        ("Verdict: wrong\nOn the other hand\nVerdict: correct", None),
        ("Verdict: correct, I think", None),
        ("Verdict: correct\nI hope this helps!", None),
        ("The verdict is correct", None),
        ("Verdict: unverifiable, correct or wrong", None),
        ("Verdict: related", None),
        ("correct", None),
        ("", None),
    ],
)
def test_a_verdict_is_one_known_word_on_the_last_line(answer, verdict):
    assert ALL["non_factual"].verdict(answer) == verdict


def test_every_packaged_template_asks_for_the_verdicts_that_are_read():
    assert set(ALL) == set(VERDICTS)
    for criterion in ALL.values():
        shown = re.findall(r'"(Verdict: \w+)"', criterion.template.text)
        assert [criterion.verdict(line) for line in shown] == list(criterion.verdicts)
        assert criterion.fault in criterion.verdicts


def test_without_the_source_nothing_is_asked_about_pairs():
    assert [each.measure for each in criteria(pairs=False)] == ["non_factual", "repetition_judged"]


def test_a_template_of_ones_own_needs_the_texts_that_it_is_about(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("Are $document and $source on one subject? Verdict: related or Verdict: unrelated")
    found = {each.measure: each for each in criteria(pairs=True, templates={"pair_irrelevance": str(mine)})}
    assert found["pair_irrelevance"].template.text == mine.read_text()
    mine.write_text("Is $document on its subject?")
    with pytest.raises(InputError, match=r"\$source"):
        criteria(pairs=True, templates={"pair_irrelevance": str(mine)})
    with pytest.raises(InputError, match="beauty"):
        criteria(pairs=True, templates={"beauty": str(mine)})


FORM = """First: a page on vacuuming tables
Concept: reclaiming space
Second: a dialogue on when to vacuum
Domain: Technology
Type: method
Relation: perspective."""


def test_a_form_is_read_if_each_line_is_there_once_and_its_words_are_of_the_lists():
    record = record_of(FORM)
    assert record is not None
    assert (record["concept"], record["domain"], record["relation"]) == (
        "reclaiming space",
        "technology",
        "perspective",
    )
    assert record_of("Here you are:\n\n" + FORM.replace("Domain:", "**Domain:**")) == record


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("Domain: Technology", "Domain: databases"), ("Type: method\n", ""), ("Concept: reclaiming", "Concept:"),
        ("Type: method", "Type: method\nType: event"), ("reclaiming space", "word " * 16), (FORM, "I can't tell."),
    ],
)  # fmt: skip
def test_any_other_form_is_malformed(line, instead):
    text = FORM.replace(line, instead) if instead != "Concept:" else FORM.replace("reclaiming space", "")
    assert record_of(text) is None


def test_domains_and_relations_are_counted_the_most_frequent_first():
    record = record_of(FORM)
    assert record is not None
    figures = counted([record, record, record | {"domain": "law", "concept": "terms"}])
    assert [(row["name"], row["count"], row["examples"]) for row in figures["domains"]] == [
        ("technology", 2, ["reclaiming space"]), ("law", 1, ["terms"]),
    ]  # fmt: skip
    assert figures["relations"][0]["share"] == 1
