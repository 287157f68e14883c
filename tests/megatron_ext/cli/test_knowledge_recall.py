"""The `knowledge recall` command as a user starts it: several models, one page."""

import json

import pytest

from data_tools.steps.tokenize import tokenize
from megatron_ext.cli.main import main
from tests.data_tools.recall.test_retrieval import QUESTIONS, TEXTS, make_corpus
from tests.data_tools.synthesis.test_engine_server import Running
from tests.support import make_corpus as make_real
from tests.support import run_settings, train


@pytest.fixture(scope="module")
def server():
    running = Running()
    yield running
    running.kill()


@pytest.fixture
def command(server, tmp_path):
    """The beginning of a command over ten questions; the server repeats what it is asked, so half are right."""
    rows = [{"question": f"q {n}", "answer": f"q {n}" if n % 2 else "no"} for n in range(12)]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "echo.txt").write_text("$question\n.")
    url = f"http://127.0.0.1:{server.port}/good/v1"
    return [
        "knowledge", "recall", str(tmp_path / "set.jsonl"), str(tmp_path / "out"), "--engine", "server", "--url", url,
        "--template", str(tmp_path / "echo.txt"), "--shots", "2",
    ]  # fmt: skip


def test_models_come_to_one_table_and_one_page(command, tmp_path, capsys):
    named = ["--model", "one=small", "--model", "two=small", "--tokens", "two=1e6", "--json"]
    assert main([*command, *named]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(model["name"], model["synthetic_tokens"]) for model in found["models"]] == [("one", None), ("two", 10**6)]
    assert found["models"][0]["closed_book"]["exact_match"]["value"] == 0.5
    assert (tmp_path / "out" / "recall.html").stat().st_size > 1e6  # plotly is in it
    assert json.loads((tmp_path / "out" / "recall.json").read_text()) == found
    assert main([*command, "--model", "three=small"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("one", "two", "three", "1,000,000"))


def test_with_documents_every_question_is_asked_a_second_time(command, tmp_path, capsys):
    """The server repeats the prompt, whose first line is the beginning of the nearest document."""
    corpus = make_corpus(tmp_path, TEXTS)
    (tmp_path / "rag.txt").write_text("$documents\n$question")
    asked = [{"question": question, "answer": "Beethoven"} for question in ("none", "none", *QUESTIONS)]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    words = ["--model", "a=small", "--rag", str(corpus), "--rag-template", str(tmp_path / "rag.txt"), "--top-k", "1"]
    assert main([*command, *words, "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert model["closed_book"]["f1"]["value"] == 0
    assert model["rag"]["f1"]["value"] > 0
    assert model["rag"]["in_documents"]["value"] == 0.5
    first, second = map(json.loads, (tmp_path / "out" / "a" / "answers.jsonl").read_text().splitlines())
    assert (first["rag"]["documents"], second["rag"]["documents"]) == (["page/2#0"], ["page/0#0"])
    assert first["rag"]["answer"] == TEXTS[2]
    assert (tmp_path / "out" / "vectors" / "manifest.json").is_file()
    assert main([*command, *words, "--context", "60"]) == 2
    assert "expected its model's tokenizer" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "message"), [
    (["--model", "a=small", "--model", "a=small"], "found the name 'a', expected one that no other model"),
    (["--model", "ledger=small"], "found the name 'ledger'"),
    (["--model", "a=small", "--tokens", "b=5"], "found the name 'b', expected one of a"),
    (["--model", "a=small", "--tokens", "a=many"], "is no whole number"),
    (["--model", "a=small", "--rules", "bleu"], "expected squad or triviaqa"),
    (["--model", "a=huge"], "expected huge"),
])  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_line(command, words, message, capsys):
    assert main([*command, *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_a_run_of_ours_is_asked_with_its_own_tokenizer_and_its_synthetic_tokens_are_known(tmp_path, capsys):
    real = make_real(tmp_path)
    tokenize([tmp_path / "corpus.jsonl.zst"], tmp_path / "tokenizer", tmp_path / "synthetic", kind="synthetic")
    sources = {name: {"corpus": str(path), "tokens": 2 * 128}
               for name, path in (("real", real), ("synthetic", tmp_path / "synthetic"))}  # fmt: skip
    train(tmp_path / "run", run_settings(real, steps=4, sources=sources))
    (tmp_path / "set.jsonl").write_text(json.dumps({"question": "select from", "answer": "where"}) + "\n")
    (tmp_path / "bare.txt").write_text("$question")
    words = ["--template", str(tmp_path / "bare.txt"), "--shots", "0", "--max-new-tokens", "4", "--json"]
    arguments = ["knowledge", "recall", str(tmp_path / "set.jsonl"), str(tmp_path / "out")]
    assert main([*arguments, "--model", str(tmp_path / "run"), *words]) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert (model["name"], model["synthetic_tokens"]) == ("run", 2 * 128)
    assert model["closed_book"]["refused"] == 0
