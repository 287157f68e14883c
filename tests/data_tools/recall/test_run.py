"""Recall from questions to scores, through a server whose answers say what it was asked."""

import json

import pytest

from data_tools.errors import InputError
from data_tools.lines import read_lines
from data_tools.recall.asking import ask_all, continued
from data_tools.recall.prompting import Templates
from data_tools.recall.questions import Layout, read_set
from data_tools.recall.run import Asking, Judge, recall
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.recipe import Prompt
from data_tools.synthesis.requests import Sampling
from tests.data_tools.synthesis.test_engine_server import Running
from tests.data_tools.synthesis.tiny_model import tiny_model

ECHO = Templates(closed_book=Prompt("Answer: $question\n."))
"""The server repeats it, so the question is its answer."""


@pytest.fixture(scope="module")
def server():
    running = Running()
    yield running
    running.kill()


@pytest.fixture
def questions(tmp_path):
    """Eight questions that are their own answers, and two that aren't."""
    rows = [{"question": f"question {n}", "answer": f"The question {n}!" if n < 8 else "no"} for n in range(10)]
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_set(path, layout=Layout(), shots=0)


def choice(server, behaviour="good"):
    url = f"http://127.0.0.1:{server.port}/{behaviour}/v1"
    return EngineChoice(model="small", kind="server", url=url, concurrency=4, timeout=5.0, patience=10.0)


def test_answers_are_scored_and_kept_beside_what_is_right(questions, server, tmp_path):
    made = recall(
        questions, tmp_path / "out", engine=choice(server), asking=Asking(templates=ECHO), ledger=tmp_path / "ledger"
    )
    found = made.counts["closed_book"]
    assert made.counts["questions"] == 10
    assert found["exact_match"]["value"] == pytest.approx(0.8)
    assert found["exact_match"]["low"] == pytest.approx(0.490, abs=1e-3)  # Wilson, 8 of 10
    assert (found["empty"], found["cut"], found["refused"]) == (0, 0, 0)
    rows = list(read_lines(tmp_path / "out" / "answers.jsonl"))
    assert [row["place"] for row in rows] == [f"set.jsonl:{number}" for number in range(1, 11)]
    assert rows[3]["closed_book"]["answer"] == "question 3"
    assert rows[9]["closed_book"]["exact_match"] == 0


def test_nothing_is_asked_twice_whatever_is_changed_about_the_scores(questions, server, tmp_path):
    for rules in ("squad", "triviaqa"):
        asking = Asking(templates=ECHO, rules=rules)
        recall(questions, tmp_path / rules, engine=choice(server), asking=asking, ledger=tmp_path / "ledger")
    answers = [json.loads(line) for path in (tmp_path / "ledger").glob("part-*.jsonl") for line in path.open()]
    assert len(answers) == 10


def test_a_run_that_ends_early_asks_for_the_rest_only(questions, server, tmp_path):
    """The server falls silent after three answers."""
    silent = EngineChoice(**vars(choice(server, "silent")) | {"timeout": 1.0, "patience": 1.0})
    with pytest.raises(Exception, match="no answer for 1 s"):
        recall(questions, tmp_path / "out", engine=silent, asking=Asking(templates=ECHO), ledger=tmp_path / "ledger")
    made = recall(
        questions, tmp_path / "out", engine=choice(server), asking=Asking(templates=ECHO), ledger=tmp_path / "ledger"
    )
    assert made.counts["closed_book"]["exact_match"]["value"] == pytest.approx(0.8)


def test_a_judges_verdict_is_counted_and_so_is_one_that_cannot_be_read(questions, server, tmp_path):
    """The server repeats the prompt: its verdict can be read where the answer given brings no second one."""
    templates = Templates(closed_book=ECHO.closed_book, judge=Prompt("Verdict: correct\n$question $right $given"))
    made = recall(
        questions, tmp_path / "out", engine=choice(server), asking=Asking(templates=templates),
        ledger=tmp_path / "ledger", judge=Judge(engine=choice(server)),
    )  # fmt: skip
    assert made.counts["closed_book"]["judged"]["value"] == 1
    assert made.counts["closed_book"]["unparsable"] == 0
    asking = Asking(templates=Templates(closed_book=ECHO.closed_book, judge=Prompt("Perhaps. $question $right $given")))
    made = recall(
        questions, tmp_path / "unsure", engine=choice(server), asking=asking, ledger=tmp_path / "ledger",
        judge=Judge(engine=choice(server)),
    )  # fmt: skip
    assert made.counts["closed_book"]["judged"]["value"] == 0
    assert made.counts["closed_book"]["unparsable"] == 10


def test_what_the_server_refuses_is_counted_and_wrong(questions, server, tmp_path):
    """It takes no more than 100 characters; only one question is as long as that."""
    path = tmp_path / "long.jsonl"
    path.write_text("".join(json.dumps({"question": q, "answer": q}) + "\n" for q in ("short", "very long " * 12)))
    made = recall(
        read_set(path, layout=Layout(), shots=0), tmp_path / "out", engine=choice(server, "picky"),
        asking=Asking(templates=ECHO), ledger=tmp_path / "ledger",
    )  # fmt: skip
    assert made.counts["closed_book"]["refused"] == 1
    assert made.counts["closed_book"]["exact_match"]["value"] == 0.5


def test_equal_prompts_are_asked_once_and_all_answered(server, tmp_path):
    drafts = ask_all(
        ["twice", "once", "twice"],
        sampling=Sampling(temperature=0.0),
        engine=choice(server),
        ledger=tmp_path / "ledger",
    )
    assert [draft.text.split("|")[0] for draft in drafts] == ["twice", "once", "twice"]
    assert len({draft.text for draft in drafts}) == 2


def test_unknown_rules_are_refused_before_anything_is_asked(questions, server, tmp_path):
    with pytest.raises(InputError, match="--rules"):
        recall(
            questions, tmp_path / "out", engine=choice(server), asking=Asking(rules="bleu"), ledger=tmp_path / "ledger"
        )
    assert not (tmp_path / "ledger").exists()


@pytest.mark.parametrize("kind", ["byte-level", "sentencepiece"])
def test_with_a_tokenizer_the_text_itself_is_continued_and_no_chat_begun(kind, server, tmp_path):
    from data_tools.text.tokenizer import Tokenizer

    folder = tiny_model(tmp_path / "model", tokenizer=kind)
    (ids,) = continued(["select from"], folder)
    assert Tokenizer.load(folder).decode(ids).strip() == "select from"
    (draft,) = ask_all([ids], sampling=Sampling(temperature=0.0), engine=choice(server), ledger=tmp_path / "ledger")
    assert draft.text.split("|")[0] == " ".join(map(str, ids))
