"""Lists that a model wrote, read leniently: records of a question, its answer and an explanation; and questions alone.

Models number, embolden, abbreviate and indent as they like; what counts is the order of the labels. Nothing is made up:
a part that isn't there stays empty, and whoever needs it counts the record as malformed.
"""

import re

PARTS = ("question", "answer", "explanation")

LABEL = re.compile(
    r"""^[\s>#*_•-]*(?:\d+\s*[.):]\s*)?[*_]*                               # list marks, headings, numbers, emphasis
    (?:(?P<letter>[qae])\s*\d*\s*[.)]?[*_]*\s*:                            # Q: A1:
      |(?P<word>question|answer|explanation|rationale|reason(?:ing)?)s?
        (?:\s*\#?\d*\s*[.)]?[*_]*\s*(?::|$)|\s*\#?\d+\s*[.)–-]))        # Question: Answer 2. and one on its own line
    [*_]*\s*(?P<rest>.*)$""",
    re.IGNORECASE | re.VERBOSE,
)
NUMBERED = re.compile(r"^[\s>#*_•-]*\d+\s*[.):]\s*(?P<rest>.*)$")
BETWEEN = re.compile(r"^\s*(?:(?:[-*_=#]\s*)+|[*_#\s]*\d+\s*[.):][*_\s]*)$")
"""Rules between records, and numbers on a line of their own."""
PLACEHOLDER = re.compile(r"^(?:[\[<({][^\[\]<>(){}]*[\])>}]|\.{3}|…)$")
"""`[the answer]`, `...`: copied from an example of the layout, not written."""
NUMBER_ABOVE = re.compile(r"^\d+[.)]\s*\n\s*")
"""Of a value that begins on the next line."""
MARKS = " \t\n*_"


def records_of(text: str) -> list[dict[str, str]]:
    """All records of an answer, each with every one of PARTS, empty where it isn't there.

    A record begins with its question, or with a part that the one before it has already. A numbered line that ends in
    a question mark is a question too. What stands before the first record is left out.
    """
    records: list[dict[str, str]] = []
    part = ""
    for line in text.splitlines():
        found, rest = _labelled(line)
        if found:
            if found == "question" or not records or records[-1][found]:
                records.append(dict.fromkeys(PARTS, ""))
            part = found
        if records and (found or not BETWEEN.match(line)):
            records[-1][part] += rest + "\n"
    cleaned = [{name: _clean(value) for name, value in record.items()} for record in records]
    return [record for record in cleaned if any(record.values())]


def questions_of(text: str) -> list[str]:
    """The questions of an answer, each once: lines that end in a question mark, or are labelled so."""
    questions = []
    for line in text.splitlines():
        found, rest = _labelled(line)
        question = _clean(rest).lstrip("-•> ")
        if question and (found == "question" or (not found and question.endswith("?"))):
            questions.append(question)
    return list(dict.fromkeys(questions))


def _labelled(line: str) -> tuple[str, str]:
    """The part of a record that begins here, or "", and what stands after its label."""
    label = LABEL.match(line)
    if label:
        name = (label["letter"] or label["word"]).lower()
        return {"q": "question", "a": "answer"}.get(name[0], "explanation"), label["rest"]
    numbered = NUMBERED.match(line)
    if numbered and numbered["rest"].rstrip(MARKS).endswith("?"):
        return "question", numbered["rest"]
    return "", line


def _clean(value: str) -> str:
    value = NUMBER_ABOVE.sub("", value.strip(MARKS))
    return "" if PLACEHOLDER.match(value) else value
