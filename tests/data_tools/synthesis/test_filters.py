"""Which documents are dropped, and why: the first rule that holds is counted."""

import pickle

import pytest

from data_tools.errors import InputError
from data_tools.synthesis.filters import NAMES, Filters
from data_tools.synthesis.recipe import Draft
from data_tools.synthesis.recipes import RECIPES
from data_tools.text.language import language_of

ENGLISH = (
    "Each row of a table has a value for every column. When a row is deleted, its space is not given back at once;"
    " vacuum does that later, and until then other sessions that began earlier may still read the old row."
)
GERMAN = (
    "Jede Zeile einer Tabelle hat für jede Spalte einen Wert. Wird eine Zeile gelöscht, so wird ihr Platz nicht sofort"
    " wieder frei; darum kümmert sich später ein anderer Vorgang, und bis dahin kann die alte Zeile gelesen werden."
)
OTHER = (
    "Space that belonged to deleted rows is reclaimed by vacuum at a later time, so that a session whose snapshot is"
    " older can go on reading what was there before the deletion took place."
)
REPEATED = "a b c d e f g h i j k l m "


@pytest.mark.parametrize(
    ("draft", "reason"),
    [
        (Draft(text=OTHER), None),
        (Draft(text=" \n"), "empty"),
        (Draft(text=OTHER, truncated=True), "truncated"),
        (Draft(text="two words"), "short"),
        (Draft(text="1 2 3 4 5 6 7 8"), "short"),
        (Draft(text=REPEATED * 2), "repetition"),
        (Draft(text=ENGLISH), "copy"),
        (Draft(text=ENGLISH.upper().replace(",", "")), "copy"),
        (Draft(text=GERMAN), "language"),
        (Draft(text=OTHER, fault="malformed"), "malformed"),
        (Draft(text="", fault="refused"), "refused"),
        (Draft(text="", truncated=True), "empty"),
        (Draft(text=REPEATED * 2, truncated=True), "repetition"),
    ],
)
def test_a_document_is_dropped_for_the_first_rule_that_holds(draft, reason):
    assert Filters().reason(draft, ENGLISH) == reason


@pytest.mark.parametrize(
    ("name", "draft"),
    [("truncated", Draft(text=OTHER, truncated=True)), ("short", Draft(text="two words")),
     ("repetition", Draft(text=REPEATED * 2)), ("copy", Draft(text=ENGLISH)), ("language", Draft(text=GERMAN))],
)  # fmt: skip
def test_a_rule_that_is_left_out_drops_nothing(name, draft):
    assert Filters().reason(draft, ENGLISH) == name
    assert Filters.of("rephrase", skip=[name]).reason(draft, ENGLISH) is None


def test_what_a_recipe_calls_faulty_is_dropped_whatever_rules_apply():
    assert Filters(apply=()).reason(Draft(text=OTHER, fault="malformed"), ENGLISH) == "malformed"


def test_half_of_its_shingles_may_come_from_the_source_and_no_more():
    words = [f"{first}{second}" for first in "abcdefghij" for second in "klmnopqrst"]
    source = " ".join(words[:50])
    kept = [size for size in (20, 62, 63, 64, 100) if not Filters().reason(Draft(text=" ".join(words[:size])), source)]
    assert kept == [100]
    assert Filters(copied=0.9).reason(Draft(text=" ".join(words[:62])), source) is None


def test_a_text_shorter_than_a_shingle_is_no_copy():
    assert Filters().reason(Draft(text="each row of a table has a value"), ENGLISH) is None


@pytest.mark.parametrize("text", ["SELECT 1;", "", "42 43 44", "x", "def f(x): return x"])
def test_a_language_that_is_not_certain_drops_nothing(text):
    assert language_of(text) is None
    assert Filters(apply=("language",)).reason(Draft(text=text), GERMAN) is None
    assert Filters(apply=("language",)).reason(Draft(text=GERMAN), text) is None


def test_a_synthesizer_is_held_to_the_rules_of_the_paper_only():
    assert Filters.of("sbp").apply == ("empty", "short", "repetition")
    assert Filters.of("sbp", add=["copy"]).apply == ("empty", "short", "repetition", "copy")


def test_a_recipe_of_the_user_is_held_to_all_rules():
    assert Filters.of("my-own").apply == NAMES
    assert Filters.of("my-own", fewest_words=50).fewest_words == 50


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_recipe_keeps_empty_documents(recipe):
    assert "empty" in Filters.of(recipe).apply


def test_a_rule_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(InputError, match="'repetitions', expected one of empty, short"):
        Filters.of("sbp", skip=["repetitions"])


def test_filters_go_to_other_processes_as_they_are():
    assert pickle.loads(pickle.dumps(Filters.of("qa"))) == Filters.of("qa")
