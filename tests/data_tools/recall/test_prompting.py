"""What a model is asked, and what is read from its answer."""

import pytest

from data_tools.errors import InputError
from data_tools.recall.prompting import Templates, answer_of, judged, shown, verdict_of
from data_tools.recall.questions import Question
from data_tools.synthesis.recipe import Prompt

ANN = Question("Who was it?", ("Ann", "Annie"), "set:1")


def test_examples_stand_before_the_question_and_the_prompt_ends_where_the_answer_begins():
    prompt = Templates().closed_book.fill(question="Who is it?", examples=shown([ANN]))
    assert prompt.endswith("\n\nQuestion: Who was it?\nAnswer: Ann\n\nQuestion: Who is it?\nAnswer:")


def test_documents_stand_before_the_examples():
    prompt = Templates().rag.fill(question="Who is it?", examples=shown([ANN]), documents="It is Bob.")
    assert prompt.index("It is Bob.") < prompt.index("Who was it?") < prompt.index("Who is it?")


@pytest.mark.parametrize(("text", "answer"), [
    (" Paris\n\nQuestion: What else?\nAnswer: No", "Paris"),
    ("\n\nAnswer: Paris.\nIt is", "Paris."),
    ("A: Paris", "Paris"),
    ("A dog", "A dog"),
    ("", ""),
    (" \n ", ""),
])  # fmt: skip
def test_an_answer_ends_at_the_first_line_break(text, answer):
    assert answer_of(text) == answer


@pytest.mark.parametrize(("text", "verdict"), [
    ("It says the same.\nVerdict: correct", True),
    ("**Verdict: Incorrect.**", False),
    ("Verdict: **correct**\n", True),
    ("correct", None),
    ("The verdict: correct I think", None),
    ("Verdict: correct or incorrect", None),
    ("Verdict: correct\nVerdict: incorrect", None),
    ("Verdict: not correct", None),
    ("", None),
])  # fmt: skip
def test_a_verdict_is_one_line_that_says_so_or_none(text, verdict):
    assert verdict_of(text) is verdict


def test_a_judge_sees_every_right_answer():
    prompt = judged(Templates().judge, ANN, "Anna")
    assert "Right: Ann | Annie\nGiven: Anna" in prompt


def test_a_template_that_lacks_a_placeholder_is_refused():
    with pytest.raises(InputError, match=r"\$question, \$documents"):
        Templates(rag=Prompt("Answer $question"))
