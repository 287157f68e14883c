"""Our numbers are lm-eval's: the same model and items, asked in a run's layout here and of its export there.

Needs lm-eval (`pip install megatron_ext[eval]`). SmolLM2 and the real questions come from PyPI; else it is skipped.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from benchmarks.olmo_eval import arc_item, sciq_item, winogrande_item
from data_tools.errors import InputError
from data_tools.lines import write_lines
from tests.support import ROOT, WORDS, make_corpus, run_settings, train

pytestmark = [
    pytest.mark.slow, pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm-eval is not installed"),
]  # fmt: skip

TASKS = {"arc_easy": "arc_easy", "sciq": "sciq", "winogrande": "winogrande", "lambada": "lambada_openai"}
"""Task file -> lm-eval's name."""
ITEMS = 12
REAL_ITEMS = 100
CLOSE = 1e-3
"""Nats, of a log-probability."""


def command(*arguments):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "megatron_ext", *map(str, arguments)], cwd=ROOT, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, timeout=3000,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def question(number):
    return " ".join(WORDS[(number * 3 + place) % len(WORDS)] for place in range(4 + number % 5)) + "?"


def last_word_item(row):
    context, _, word = row["text"].rpartition(" ")
    return {"context": context, "target": word}


def answers(number):
    return [" ".join(WORDS[(number + 5 * option) % len(WORDS) :][: 1 + option]) for option in range(4)]


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """Questions in the columns of the hub, and as task files."""
    folder = tmp_path_factory.mktemp("questions")
    numbers = range(ITEMS)
    rows = {
        "arc_easy": [
            {"id": f"q{n}", "question": question(n), "choices": {"text": answers(n), "label": list("ABCD")},
             "answerKey": "ABCD"[n % 4]} for n in numbers],
        "sciq": [
            {"question": question(n), "support": " Tables hold rows. " * (n % 3), "correct_answer": answers(n)[3],
             **{f"distractor{place}": answers(n)[place - 1] for place in (1, 2, 3)}} for n in numbers],
        "winogrande": [
            {"sentence": f"The {WORDS[n]} joined the {WORDS[n + 1]} since the _ was null and void.",
             "option1": WORDS[n], "option2": WORDS[n + 1], "answer": str(1 + n % 2)} for n in numbers],
        "lambada": [{"text": f"The {WORDS[n]} and the {WORDS[n + 1]} of a {WORDS[n + 2]}"} for n in numbers],
    }  # fmt: skip
    item = {"arc_easy": arc_item, "sciq": sciq_item, "winogrande": winogrande_item, "lambada": last_word_item}
    (folder / "tasks").mkdir()
    for name, asked in rows.items():
        (folder / "datasets" / TASKS[name]).mkdir(parents=True)
        parquet.write_table(pa.Table.from_pylist(asked), folder / "datasets" / TASKS[name] / "test.parquet")
        write_lines(folder / "tasks" / f"{name}.jsonl", map(item[name], asked))
    return folder


def compared(run: Path, data: Path, *, items: int) -> None:
    """Ask both ways and hold one against the other."""
    files = [word for name in TASKS for word in ("--tasks", data / "tasks" / f"{name}.jsonl")]
    command("eval", run, *files, "--items", items)
    names = ",".join(TASKS.values())
    command("eval", run, "--benchmarks", names, "--offline-data", data / "datasets", "--items", items)
    results = json.loads((run / "results.json").read_text())
    for name, theirs_name in TASKS.items():
        ours, theirs = (
            [json.loads(line) for line in (run / "evaluation" / f"{file}.jsonl").open()]
            for file in (name, f"benchmark-{theirs_name}")
        )
        found, benchmark = results["tasks"][name], results["benchmarks"][theirs_name]
        assert len(ours) == len(theirs) == found["items"] == benchmark["items"]
        for mine, other in zip(ours, theirs, strict=True):
            assert mine["logprobs"] == pytest.approx(other["logprobs"], abs=CLOSE), (name, mine["id"])
        assert benchmark["metric"] == "acc"
        assert found["acc"] == benchmark["value"]
        assert found["acc_stderr"] == pytest.approx(benchmark["stderr"])
        if "acc_norm" in benchmark["others"]:
            assert found["acc_norm"] == benchmark["others"]["acc_norm"]
        if "perplexity" in benchmark["others"]:
            assert found["target_perplexity"] == pytest.approx(benchmark["others"]["perplexity"], rel=CLOSE)
        assert benchmark["by"].startswith("lm-eval ")


def test_a_run_of_ours_scores_what_lm_eval_says_of_its_export(made_up, tmp_path):
    corpus = make_corpus(tmp_path)
    batch = {"sequence_length": 256, "global_batch": 8, "micro_batch": 2}
    sources = {"real": {"corpus": str(corpus), "tokens": 5 * 8 * 256}}
    train(tmp_path / "run", run_settings(corpus, steps=5, batch=batch, sources=sources))
    compared(tmp_path / "run", made_up, items=ITEMS)


def test_smollm2_scores_what_lm_eval_says_of_it_on_three_benchmarks(tmp_path):
    from benchmarks.smollm import smollm2

    data = tmp_path / "questions"
    made = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "olmo_eval.py"), str(data)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(made.stderr)
    try:
        model = smollm2()
    except InputError as missing:
        pytest.skip(str(missing))
    command("convert", "import", model, tmp_path / "smollm2", "--precision", "fp32")
    compared(tmp_path / "smollm2", data, items=REAL_ITEMS)
