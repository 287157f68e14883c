"""Evaluations of real runs, in the loop and after it, against plain forward passes of the exported model."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.text.tokenizer import Tokenizer
from tests.support import MODEL, ROOT, WORDS, make_corpus, run_settings, train_many

STEPS = 5
CHOICES = [
    {"context": f"select {word} from", "choices": ["table", "index row", "commit"], "answer": number % 3}
    for number, word in enumerate(("row", "column", "value", "key", "null"))
]
TEXTS = [{"context": "begin", "target": "vacuum commit"}, {"context": "", "target": "insert row"}]
LAST_WORDS = [{"context": f"select {word}", "target": target} for word in ("row", "index") for target in WORDS]
TASKS = {"choices": CHOICES, "texts": TEXTS, "words": LAST_WORDS}
LAYOUTS = {"tensor 2": {"tensor": 2}, "pipeline 2": {"pipeline": 2}, "data 2": {}}


def command(*arguments, status=0):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "megatron_ext", *map(str, arguments)], cwd=ROOT, capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus, its tokenizer, a task file of each kind, and runs that were asked them, or not, on one rank."""
    folder = tmp_path_factory.mktemp("trained")
    make_corpus(folder, documents=12)
    for name, rows in TASKS.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def alone(place):
    return train_many(place, {"asked": settings(place), "neither": settings(place, every=None)})


@pytest.fixture(scope="module")
def results(place, alone):
    files = [word for name in TASKS for word in ("--tasks", place / f"{name}.jsonl")]
    command("eval", place / "asked", "--heldout", place / "corpus", *files)
    return read_results(place)


@pytest.fixture(scope="module")
def readings(place, results):
    command("eval", place / "asked", "--heldout", place / "corpus", "--stride", 4)
    command("eval", place / "asked", "--heldout", place / "corpus", "--by-document")
    return read_results(place)


@pytest.fixture(scope="module")
def logprobs(place, alone):
    """logprobs(tokens, target): of the last so many tokens and of any in their place, by the exported model."""
    from transformers import AutoModelForCausalLM

    command("convert", "export", place / "asked", place / "hf", "--tokenizer", place / "tokenizer")
    model = AutoModelForCausalLM.from_pretrained(place / "hf", local_files_only=True).eval()

    def logprobs(tokens, target):
        with torch.no_grad():
            logits = model(torch.tensor([[int(token) for token in tokens[:-1]]])).logits[0, -target:].double()
        return logits.log_softmax(-1)[range(target), [int(token) for token in tokens[-target:]]], logits.argmax(-1)

    return logprobs


@pytest.fixture(scope="module")
def plain(logprobs):
    """logprob(tokens, target): of the last tokens, by the exported model."""
    return lambda tokens, target: logprobs(tokens, target)[0].sum().item()


def read_results(place):
    return json.loads((place / "asked" / "results.json").read_text())


def settings(place, layout=None, *, every=2):
    asked = {"tasks": [str(place / f"{name}.jsonl") for name in TASKS], "every": every}
    return run_settings(
        place / "corpus", steps=STEPS, model=MODEL | {"layers": 4}, layout=layout or {},
        **({"evaluation": asked} if every else {}),
    )  # fmt: skip


def asked_in(folder):
    events = map(json.loads, (folder / "events.jsonl").read_text().splitlines())
    return [event for event in events if event["event"] == "evaluation"]


def test_a_run_that_is_asked_trains_to_the_same_losses_bit_for_bit(alone):
    assert alone["asked"] == alone["neither"]


def test_a_run_is_asked_every_nth_step_and_at_its_end(place, alone):
    found = asked_in(place / "asked")
    assert [event["step"] for event in found] == [0, 2, 4, 5]
    assert found[1]["tokens"] == 2 * 128
    assert {"choices/acc", "choices/acc_norm", "choices/answer_bits_per_byte", "texts/loss"} < found[0].keys()


def test_the_last_evaluation_in_the_loop_is_that_of_the_finished_run(place, results):
    last = asked_in(place / "asked")[-1]
    for task, found in results["tasks"].items():
        for metric in {key.split("/")[1] for key in last if key.startswith(f"{task}/")}:
            assert last[f"{task}/{metric}"] == pytest.approx(found[metric], rel=1e-6)


@pytest.mark.slow
def test_what_is_scored_has_the_probability_that_the_exported_model_gives_it(place, results, plain):
    tokenizer = Tokenizer.load(place / "tokenizer")
    rows = [json.loads(line) for line in (place / "asked" / "evaluation" / "choices.jsonl").open()]
    for row, item in zip(rows, CHOICES, strict=True):
        before = tokenizer.encode([item["context"]])[0]
        for found, choice in zip(row["logprobs"], item["choices"], strict=True):
            whole = tokenizer.encode([f"{item['context']} {choice}"])[0]
            assert found == pytest.approx(plain(whole, len(whole) - len(before)), abs=1e-4)
    right = [int(np.argmax(row["logprobs"])) == row["answer"] for row in rows]
    assert results["tasks"]["choices"]["acc"] == np.mean(right)
    assert results["tasks"]["choices"]["checkpoint"] == f"step_{STEPS:08d}"


@pytest.mark.slow
def test_a_last_word_is_right_where_the_exported_model_would_write_it(place, results, logprobs):
    tokenizer = Tokenizer.load(place / "tokenizer")
    rows = [json.loads(line) for line in (place / "asked" / "evaluation" / "words.jsonl").open()]
    right = []
    for row, item in zip(rows, LAST_WORDS, strict=True):
        before, whole = tokenizer.encode([item["context"], f"{item['context']} {item['target']}"])
        target = whole[len(before) :]
        right.append(logprobs(whole, len(target))[1].tolist() == target)
        assert row["right"] == {"acc": right[-1]}, item
    assert results["tasks"]["words"]["acc"] == np.mean(right)
    assert 0 < sum(right) < len(right)


@pytest.mark.slow
def test_documents_on_their_own_have_the_loss_of_each_behind_an_end(place, readings, plain):
    corpus = IndexedCorpus(place / "corpus" / CORPUS_PREFIX)
    found = readings["perplexity"]["corpus, by document"]
    nats = 0.0
    for number in range(len(corpus)):
        tokens = [corpus.document(number)[-1], *corpus.document(number)]
        for start in range(0, len(tokens) - 1, 16):
            part = tokens[start : start + 17]
            nats -= plain(part, len(part) - 1)
    assert found["tokens"] == corpus.token_count
    assert found["loss"] == pytest.approx(nats / corpus.token_count, rel=1e-5)
    text = Tokenizer.load(place / "tokenizer")
    size = sum(len(text.decode(corpus.document(number)[:-1].tolist()).encode()) for number in range(len(corpus)))
    assert found["bytes"] == size
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-5)


@pytest.mark.slow
def test_windows_that_overlap_predict_each_token_with_more_before_it(place, readings, plain):
    corpus = IndexedCorpus(place / "corpus" / CORPUS_PREFIX)
    tokens = corpus.tokens(0, corpus.token_count)
    nats = -plain(tokens[:17], 16)
    for start in range(4, len(tokens) - 13, 4):
        part = tokens[start : start + 17]
        nats -= plain(part, len(part) - 13)
    found = readings["perplexity"]["corpus, stride 4"]
    assert found["tokens"] == corpus.token_count - 1 == readings["heldout"]["tokens"]
    assert found["loss"] == pytest.approx(nats / found["tokens"], rel=1e-5)
    assert readings["heldout"]["loss"] == readings["perplexity"]["corpus"]["loss"] != found["loss"]


@pytest.mark.slow
def test_a_layout_changes_no_score(place, alone, tmp_path):
    runs = {name: settings(place, layout) for name, layout in LAYOUTS.items()}
    found = train_many(tmp_path, runs, processes=2)
    expected = asked_in(place / "asked")
    for name in LAYOUTS:
        assert found[name] == pytest.approx(alone["asked"], rel=1e-4)
        for event, same in zip(asked_in(tmp_path / name), expected, strict=True):
            for key in same.keys() - {"time", "seconds", "event"}:
                assert event[key] == pytest.approx(same[key], rel=1e-4, abs=1e-6), (name, key)


def test_tasks_that_cannot_be_asked_are_refused_before_anything_starts(place, alone):
    assert "no such file" in command("eval", place / "asked", "--tasks", place / "nowhere.jsonl", status=2)
    assert "nothing to evaluate on" in command("eval", place / "asked", status=2)
    too_far = ["--heldout", place / "corpus", "--stride", 99]
    assert "at most 16" in command("eval", place / "asked", *too_far, status=2)
