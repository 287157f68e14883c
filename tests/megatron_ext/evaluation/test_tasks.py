"""Task files and their scores: read strictly, tokenized and scored as lm-eval does. No model."""

import json
import math

import numpy as np
import pytest

from data_tools.errors import InputError
from data_tools.text.tokenizer import Tokenizer
from megatron_ext.evaluation.inputs import read_tasks
from megatron_ext.evaluation.scores import Found, chosen, details, scored
from megatron_ext.evaluation.tasks import read_task, spans_of
from tests.support import make_corpus

CHOICES = {"id": "q1", "context": "select from table", "choices": ["row", "index key value"], "answer": 1}
CONTEXTS = {"contexts": ["begin the row", "begin the key"], "target": "and commit", "answer": 0}
TEXT = {"context": "select from", "target": "table"}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    make_corpus(folder, documents=8)
    return Tokenizer.load(folder / "tokenizer")


def task_file(folder, *rows, name="task.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_choice_is_asked_after_its_context_with_one_space_between(tmp_path, tokenizer):
    task = read_task(task_file(tmp_path, CHOICES, CONTEXTS))
    assert (task.name, task.kind, len(task.items)) == ("task", "choice", 2)
    spans, cut = spans_of(task, tokenizer, most=64)
    asked = ["select from table row", "select from table index key value", "begin the row and commit",
             "begin the key and commit"]  # fmt: skip
    assert [span.tokens.tolist() for span in spans] == tokenizer.encode(asked)
    assert [span.target for span in spans] == [
        len(whole) - len(before)
        for whole, before in zip(
            tokenizer.encode(asked), tokenizer.encode(["select from table"] * 2 + ["begin the row", "begin the key"]),
            strict=True,
        )
    ]  # fmt: skip
    assert cut == 0


def test_a_text_without_context_stands_behind_the_token_that_ends_documents(tmp_path, tokenizer):
    task = read_task(task_file(tmp_path, {"context": "", "target": "select from table"}))
    [span], _ = spans_of(task, tokenizer, most=64)
    assert span.tokens.tolist() == [tokenizer.eos, *tokenizer.encode(["select from table"])[0]]
    assert span.target == len(span.tokens) - 1


def test_what_is_longer_than_a_row_loses_its_beginning_and_is_counted(tmp_path, tokenizer):
    task = read_task(task_file(tmp_path, {"context": "select from where join " * 9, "target": "table row"}))
    [whole], none = spans_of(task, tokenizer, most=1000)
    [part], cut = spans_of(task, tokenizer, most=6)
    assert (none, cut) == (0, 1)
    assert part.tokens.tolist() == whole.tokens[-7:].tolist()
    assert part.target == min(whole.target, 6)


def test_choices_are_weighed_as_they_are_per_character_and_per_byte(tmp_path):
    rows = [{"context": "q", "choices": ["ab", "abcdefgh", "éééé"], "answer": 1}] * 2
    task = read_task(task_file(tmp_path, *rows))
    logprobs = np.array([-2.0, -6.0, -3.2, -4.0, -9.0, -3.0])
    answered = Found(logprobs, np.array([1, 4, 2, 1, 4, 2]))
    found = scored(task, answered)
    first, second = task.items
    assert [chosen(first, logprobs[:3], metric) for metric in ("acc", "acc_norm", "acc_bytes")] == [0, 1, 2]
    assert [chosen(second, logprobs[3:], metric) for metric in ("acc", "acc_norm", "acc_bytes")] == [2, 2, 2]
    assert (found["acc"], found["acc_norm"], found["acc_bytes"], found["items"]) == (0.0, 0.5, 0.0, 2)
    assert found["acc_norm_stderr"] == pytest.approx(0.5)  # sqrt(sample variance 1/2 over 2 items)
    assert found["answer_loss"] == pytest.approx(15 / 8)
    assert found["answer_bits_per_byte"] == pytest.approx(15 / math.log(2) / 16)
    rows = list(details(task, answered))
    assert rows[0]["right"] == {"acc": False, "acc_norm": True, "acc_bytes": False}


def test_perplexity_of_texts_is_per_token_and_per_target(tmp_path):
    task = read_task(task_file(tmp_path, TEXT, {"context": "a", "target": "bcd"}))
    found = scored(task, Found(np.array([-4.0, -2.0]), np.array([2, 1])))
    assert found["loss"] == pytest.approx(2.0)
    assert found["perplexity"] == pytest.approx(math.exp(2))
    assert found["target_perplexity"] == pytest.approx(math.exp(3))
    assert found["bits_per_byte"] == pytest.approx(6 / math.log(2) / len("tablebcd"))
    assert (found["tokens"], found["items"]) == (3, 2)


def test_last_words_have_an_accuracy_and_longer_texts_have_none(tmp_path):
    words = read_task(task_file(tmp_path, TEXT, {"context": "a", "target": "bcd"}))
    assert words.is_of_words
    answered = Found(np.array([-4.0, -2.0]), np.array([2, 1]), np.array([True, False]))
    found = scored(words, answered)
    assert (found["acc"], found["acc_stderr"]) == (0.5, pytest.approx(0.5))
    assert [row["right"] for row in details(words, answered)] == [{"acc": True}, {"acc": False}]
    texts = read_task(task_file(tmp_path, TEXT, {"context": "a", "target": "b c"}))
    assert not texts.is_of_words
    assert not read_task(task_file(tmp_path, CHOICES)).is_of_words
    assert "acc" not in scored(texts, Found(np.array([-4.0, -2.0]), np.array([2, 2])))


def test_only_the_first_items_are_read_where_that_is_asked(tmp_path):
    assert len(read_task(task_file(tmp_path, *[TEXT] * 5), most_items=3).items) == 3


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"context": "a", "choices": ["b", "c"]}, "context"),
        ({**CHOICES, "answer": 2}, "answer"),
        ({**CHOICES, "answer": True}, "answer"),
        ({**CHOICES, "choices": ["b", 3]}, "choices"),
        ({**CHOICES, "choices": ["one"], "answer": 0}, "answer"),
        ({**TEXT, "target": ""}, "empty"),
        ({**TEXT, "comment": "hm"}, "comment"),
        (["context"], "list"),
    ],
)
def test_an_item_that_is_not_of_the_layout_is_refused_with_its_line(row, named, tmp_path):
    with pytest.raises(InputError, match=named) as refused:
        read_task(task_file(tmp_path, TEXT, row))
    assert "task.jsonl:2" in str(refused.value)


def test_a_file_of_two_kinds_and_an_empty_one_are_refused(tmp_path):
    with pytest.raises(InputError, match="one kind"):
        read_task(task_file(tmp_path, TEXT, CHOICES))
    with pytest.raises(InputError, match="no items"):
        read_task(task_file(tmp_path))


def test_two_tasks_of_one_name_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    files = [task_file(tmp_path, TEXT), task_file(tmp_path / "other", TEXT)]
    with pytest.raises(InputError, match="two tasks named task"):
        read_tasks(files)
