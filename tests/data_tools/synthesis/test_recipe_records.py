"""Questions, answers and explanations are read however a model writes them down; what isn't there isn't made up."""

import pytest

from data_tools.synthesis.recipes.records import questions_of, records_of

TWO = [
    {"question": "What is a row?", "answer": "A line of a table.", "explanation": "Tables consist of rows."},
    {"question": "Why vacuum?", "answer": "To reclaim space.", "explanation": "Dead rows stay until then."},
]

LAYOUTS = {
    "as asked": "Question: {question}\nAnswer: {answer}\nExplanation: {explanation}\n\n",
    "without empty lines": "Question: {question}\nAnswer: {answer}\nExplanation: {explanation}\n",
    "spread out": "Question:\n{question}\n\nAnswer:\n{answer}\n\nExplanation:\n{explanation}\n\n---\n\n",
    "numbered": "{n}. Question: {question}\n   Answer: {answer}\n   Explanation: {explanation}\n",
    "numbered labels": "Question {n}: {question}\nAnswer {n}: {answer}\nExplanation {n}: {explanation}\n",
    "numbered labels, no colons": "Question {n}. {question}\nAnswer {n}. {answer}\nExplanation {n}. {explanation}\n",
    "bold": "**Question {n}:** {question}\n**Answer:** {answer}\n**Explanation:** {explanation}\n\n",
    "bold, colon outside": "**Question**: {question}\n**Answer**: {answer}\n**Explanation**: {explanation}\n\n",
    "headings": "### Question {n}\n{question}\n### Answer\n{answer}\n### Explanation\n{explanation}\n",
    "letters": "Q{n}: {question}\nA{n}: {answer}\nE{n}: {explanation}\n",
    "bullets": "- Question: {question}\n  - Answer: {answer}\n  - Explanation: {explanation}\n",
    "numbers above": "Question: {n}.\n\n{question}\n\nAnswer: {n}.\n\n{answer}\n\nExplanation:\n\n{explanation}\n",
    "numbers alone": "{n}.\nQuestion: {question}\nAnswer: {answer}\nExplanation: {explanation}\n",
    "numbered question without label": "{n}. {question}\nAnswer: {answer}\nExplanation: {explanation}\n",
    "bold numbered question without label": "**{n}. {question}**\nA: {answer}\nReasoning: {explanation}\n",
    "upper case": "QUESTION: {question}\nANSWER: {answer}\nEXPLANATION: {explanation}\n",
    "another word": "Question: {question}\nAnswer: {answer}\nRationale: {explanation}\n",
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_records_are_read_in_whatever_way_they_are_laid_out(layout):
    text = "".join(layout.format(n=number, **record) for number, record in enumerate(TWO, start=1))
    assert records_of(text) == TWO
    assert records_of("Here are 2 questions about the document:\n\n" + text) == TWO


def test_a_part_may_have_several_lines():
    text = "Question: Which?\nAnswer: Two:\n- abs\n- acos\nExplanation: So.\n\nAnd so."
    assert records_of(text)[0]["answer"] == "Two:\n- abs\n- acos"
    assert records_of(text)[0]["explanation"] == "So.\n\nAnd so."


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("Question: Why?\nExplanation: So.", {"answer"}),
        ("Question: Why?\nAnswer: So.", {"explanation"}),
        ("Question: Why?\nAnswer: [the answer]\nExplanation: <explanation>", {"answer", "explanation"}),
        ("Question: ...\nAnswer: 1912.\nExplanation: So.", {"question"}),
        ("Question:\nAnswer: So.\nExplanation: So.", {"question"}),
    ],
)
def test_a_part_that_is_not_there_stays_empty(text, lacking):
    [record] = records_of(text)
    assert {name for name, value in record.items() if not value} == lacking


def test_a_part_that_comes_twice_begins_a_record_without_a_question():
    records = records_of("Question: Why?\nAnswer: So.\nExplanation: So.\nAnswer: Or so.")
    assert [record["question"] for record in records] == ["Why?", ""]


@pytest.mark.parametrize("text", ["", "No question comes to mind.", "A. one\nB. two", "Answering is hard: why?", "---"])
def test_a_text_without_labels_has_no_records(text):
    assert records_of(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "1. What is a row?\n2. Why vacuum?",
        "Here are two questions:\n\n1) What is a row?\n\n2) Why vacuum?\n\nI hope they help.",
        "- What is a row?\n* Why vacuum?",
        "What is a row?\nWhy vacuum?",
        "Question 1: What is a row?\nAnswer: A line.\nQuestion 2: Why vacuum?\nAnswer: To reclaim space.",
        "**1. What is a row?**\n**2. Why vacuum?**",
        "1. **What is a row?**\n2. **Why vacuum?**\n3. **What is a row?**",
    ],
)
def test_questions_are_read_in_whatever_way_they_are_listed_and_each_once(text):
    assert questions_of(text) == ["What is a row?", "Why vacuum?"]


def test_numbered_headings_and_remarks_are_no_questions():
    assert questions_of("Here are 2 questions:\n1. Triggers on Data Changes\n2. Answer: which?\nThat is all.") == []


def test_a_line_that_is_called_a_question_needs_no_mark():
    assert questions_of("Question 1: Explain what a row is.") == ["Explain what a row is."]
