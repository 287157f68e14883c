"""What a model says about its text is removed from the beginning; what belongs to the text is not."""

import time

import pytest

from data_tools.synthesis.recipes.lead_ins import without_lead_in

TEXT = "Vacuum reclaims the space that dead rows occupy.\n\nIt is run now and then."

LEAD_INS = [
    "Here is a paraphrased version:\n\n",
    "Here is a paraphrased version: ",
    "Here's a rephrased version of the document in the style of Wikipedia:\n\n",
    "Here’s my rewrite of the text, with all facts kept:\n",
    "Here is the rewritten document as an encyclopedia article:\n\n---\n\n",
    "Here are the paraphrased sentences:\n",
    "Here is the text:\n\n",
    "**Here is the rephrased article:**\n\n",
    "Below is a rewritten version of the passage:\n\n",
    "The following is a paraphrase of the document above:\n\n",
    "This is a paraphrase of the passage:\n\n",
    "Sure! ",
    "Sure!\n\n",
    "Certainly! Here's a paraphrased version of the document:\n\n",
    "Sure, here is the rewritten text:\n\n",
    "Of course! I'd be happy to help you with that. Here is the rephrased text:\n\n",
    "I can help you with that. Here's an edited version of the document:\n\n",
    "I'm here to help you refine your text.\n\n",
    "I'll rewrite the passage as an article.\n\n",
    "Sure thing! Here you go: Here's the rewritten passage:\n\n",
    "Absolutely! Below is the document rewritten in the style of a textbook:\n\n",
    "Okay.\n\n",
    "I've rewritten the document as a textbook section:\n\n",
    "I have paraphrased the text for you:\n\n",
    "As requested, the document in other words:\n\n",
    "Paraphrased version:\n\n",
    "**Paraphrased version:**\n\n",
    "**Rephrased text**: ",
    "### Rewritten document\n\n",
    "Paraphrase: ",
    "Rewrite of the document:\n",
    "Here is a paraphrased version of the document above.\n\n",
    "Sure! Here is a paraphrased version:\n\n**Paraphrased text:**\n\n***\n",
    "\n\n  Here is a rationale:\n\n",
]

BEGINNINGS = [
    "Here is an example:\n\nSELECT 1;",
    "Here is how vacuum works: it reads every page.",
    "Here are the rows that VACUUM removes: dead ones.",
    "The following is a list of functions:\nabs, acos",
    "The rewritten query is faster than the one it replaces: it uses the index.",
    "Rewriting a query may help: a join is often faster.",
    "This is the first version of the library: 1.0.",
    "Surely this is not a lead-in.",
    "Certainly the most common mistake is a missing index.",
    "Of course, VACUUM takes time.",
    "Great care is taken that no row is lost.",
    "OK is a status code of SQLite: 0.",
    "I would be careful with that.",
    "I am here to stay. So said the row.",
    "I can see the table: it has rows.",
    "Below the table is an index: see there.",
    "Version: 3.4.2\n\nBugs were fixed.",
    "Text: a value of characters.\n\nMore of it.",
    "Rationale:\n\nRows are never changed in place.",
    "Rewriting\n\nThe planner rewrites a query.",
    "Rewrite rules:\n\nA view is one.",
    "This is the text of the message:\n\ndisk full",
    "# Query rewriting\n\nThe planner rewrites a query.",
    "",
]

CLOSINGS = ["\n\nI hope this helps!", "\n\nLet me know if you need anything else.", "\n\nNote: all facts were kept."]


@pytest.mark.parametrize("lead_in", LEAD_INS)
def test_a_lead_in_is_removed_and_the_text_is_whole(lead_in):
    assert without_lead_in(lead_in + TEXT) == TEXT


@pytest.mark.parametrize("text", BEGINNINGS)
def test_a_text_that_begins_at_once_stays_as_it_is(text):
    assert without_lead_in(text) == text


@pytest.mark.parametrize("closing", CLOSINGS)
def test_closing_remarks_stay(closing):
    assert without_lead_in("Sure! Here is the rewritten text:\n\n" + TEXT + closing) == TEXT + closing


def test_white_space_of_a_text_without_lead_in_stays():
    assert without_lead_in("    indented\n    code\n") == "    indented\n    code\n"


def test_a_lead_in_without_a_text_leaves_nothing():
    assert without_lead_in("Sure! Here is a paraphrased version:") == ""


UNITS = ["here is ", "here is a rewritten ", "Sure! ", "I'd be happy to ", "**", "rewritten text ", " \n"]


@pytest.mark.parametrize("unit", UNITS)
def test_no_text_makes_the_rule_slow(unit):
    begun = time.process_time()
    without_lead_in(unit * 20_000)
    assert time.process_time() - begun < 1
