"""What is read of a model's answers: verdicts of the judge, and forms about concepts. Strictly, or not at all."""

import re
from dataclasses import replace

import pytest

from data_tools.errors import InputError
from data_tools.quality.concepts import counted, record_of
from data_tools.quality.judge import VERDICTS, criteria
from data_tools.synthesis.requests import Answer, Sampling

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


@pytest.mark.parametrize("by", ["answer", "likelihood"])
def test_every_packaged_template_asks_for_the_verdicts_that_are_read(by):
    found = criteria(pairs=True, by=by)
    assert {each.measure for each in found} == set(VERDICTS)
    for criterion in found:
        shown = re.findall(r'"(Verdict: \w+)"', criterion.template.text)
        assert [criterion.verdict(line) for line in shown] == list(criterion.verdicts)
        assert criterion.fault in criterion.verdicts


def test_a_verdict_by_likelihood_is_what_gains_most_from_the_texts():
    criterion = replace(ALL["non_factual"], by="likelihood")
    told, without = Answer("[-4.0, -1.0, -5.0]", "stop"), Answer("[-4.5, -0.5, -7.0]", "stop")
    draft = criterion.draft([told, without])  # "correct" is the likeliest, and was so without the text
    assert draft.text == "unverifiable +0.500\ncorrect -0.500\nwrong +2.000\nVerdict: wrong"
    assert criterion.verdict(draft.text) == "wrong"
    assert criterion.draft([Answer("too long", "refused"), without]).fault == "refused"


def test_what_is_weighed_are_the_lines_that_are_read_with_the_texts_and_without():
    criterion = replace(ALL["pair_copying"], by="likelihood")
    about, without = criterion.asks(Sampling(), document="a document", source="its source")
    assert about.choices == without.choices == ("Verdict: copy", "Verdict: different")
    assert [criterion.verdict(line) for line in about.choices] == list(criterion.verdicts)
    assert "a document" in about.prompt
    assert "its source" in about.prompt
    assert without.prompt == about.prompt.replace("a document", "").replace("its source", "")


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
