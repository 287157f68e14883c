"""What the command line promises: exit statuses, messages without tracebacks, and help that doesn't wait."""

import io
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from megatron_ext.cli import output
from megatron_ext.cli.main import main

ROOT = Path(__file__).parents[1]
COMMANDS = (
    ["demo"], ["plan"], ["train"], ["eval"], ["report"], ["sweep"], ["compare"], ["launch"], ["stage"], ["status"],
    ["sync"], ["quality"], ["concepts"],
    ["convert", "import"], ["convert", "export"],
    *(["knowledge", name] for name in ("report", "intervals", "recall")),
    *(["data", name] for name in
      ("clean", "dedup", "split", "tokenizer", "tokenize", "embed", "neighbors", "pairs", "megadocs", "verify",
       "repair", "stats")),
    *(["synth", name] for name in
      ("sbp", "rephrase", "latent-thoughts", "active-reading", "qa", "focal", "paraphrase", "repeat", "custom",
       "templates")),
)  # fmt: skip

RUN = """
model: {layers: 2, hidden: 32, ffn: 64, heads: 4, kv_heads: 2, vocabulary: 512}
sources: {real: {corpus: corpus, tokens: 1024}}
batch: {sequence_length: 32, global_batch: 4}
schedule: {peak_lr: 0.001, end_lr: 0.0001, warmup: 0.1, decay: cosine}
"""


@pytest.fixture
def run_file(tmp_path):
    """A run whose corpus holds 7 documents and 700 tokens."""
    import numpy as np

    from data_tools.corpus.indexed import CORPUS_PREFIX, CorpusWriter
    from data_tools.corpus.manifest import run_step

    def build(scratch: Path) -> dict[str, int]:
        with CorpusWriter(scratch / CORPUS_PREFIX, np.dtype(np.uint16)) as writer:
            for _ in range(7):
                writer.add(np.arange(100, dtype=np.uint16))
        return {"documents": 7, "tokens": 700}

    run_step(tmp_path / "corpus", step="tokenize", inputs={}, settings={"vocabulary": 512}, build=build)
    path = tmp_path / "run.yaml"
    path.write_text(RUN)
    return path


@pytest.fixture
def outside_ranks(monkeypatch):
    """As on a user's command line, even if these tests run inside a launcher."""
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """The command as a user starts it."""
    return subprocess.run(
        [sys.executable, "-m", "megatron_ext", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command, capsys):
    assert main([*command, "--help"]) == 0
    assert f"Example: megatron-ext {' '.join(command)}" in capsys.readouterr().out


def test_help_waits_for_neither_numpy_nor_torch():
    script = (
        "import sys\n"
        "from megatron_ext.cli.main import main\n"
        "status = max(main(words) for words in (['--help'], ['synth', 'rephrase', '--help'], ['train', '--help']))\n"
        "heavy = {'numpy', 'torch', 'transformers', 'yaml', 'zstandard'} & set(sys.modules)\n"
        "sys.exit(f'imported: {sorted(heavy)}' if heavy else status)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_an_unknown_command_or_option_is_bad_input(capsys):
    assert main(["polish"]) == 2
    assert main(["plan", "run.yaml", "--polish"]) == 2
    assert main(["data"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_missing_file_is_bad_input_and_named_without_a_traceback():
    done = call("plan", "no_such_run.yaml")
    assert done.returncode == 2
    assert "no_such_run.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_misspelt_key_is_bad_input_and_the_right_one_is_offered(run_file, capsys):
    run_file.write_text(RUN.replace("global_batch", "globl_batch"))
    assert main(["plan", str(run_file)]) == 2
    message = capsys.readouterr().err
    assert "globl_batch" in message
    assert "'global_batch'" in message
    assert "Traceback" not in message


def test_a_failure_of_ours_exits_1_and_shows_where(run_file, capsys, monkeypatch):
    def broken(*_arguments: object, **_named: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("megatron_ext.plan.budget.arm_budget", broken)
    assert main(["plan", str(run_file)]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupted_command_exits_130_without_a_traceback(tmp_path):
    waiting = tmp_path / "run.yaml"
    os.mkfifo(waiting)  # reading it waits for a writer, so the command is surely at work when the signal comes
    command = [sys.executable, "-m", "megatron_ext", "plan", str(waiting)]
    # Where the tests run in the background of a script, the signal is ignored, and children inherit that.
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=listening)
    with waiting.open("w"):
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert message.strip() == "interrupted"


def test_a_plan_says_what_a_run_takes_from_each_source(run_file, capsys):
    assert main(["plan", str(run_file)]) == 0
    table = capsys.readouterr().out
    for figure in ("real", "1,024", "700", "324", "steps: 8"):
        assert figure in table
    assert main(["plan", str(run_file), "--json"]) == 0
    budget = json.loads(capsys.readouterr().out)
    assert budget["sources"]["real"]["trained"] == 1024
    assert budget["sources"]["real"]["repeated"] == 324
    assert budget["sources"]["real"]["documents"] == 7
    assert budget["tokens"] == 1024


def test_a_plan_lists_the_samples_of_a_range_of_steps(run_file, capsys):
    assert main(["plan", str(run_file), "--steps", "2:4"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading == "step\tsample\tsource\tepoch\tstart\tdocuments"
    assert [row.split("\t")[::2][:2] for row in rows] == [["2", "real"]] * 4 + [["3", "real"]] * 4


def test_a_plan_needs_no_torch(run_file):
    script = (
        "import sys\n"
        "from megatron_ext.cli.main import main\n"
        f"status = main(['plan', {str(run_file)!r}, '--json'])\n"
        "sys.exit('imported torch' if 'torch' in sys.modules else status)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_plan_that_would_repeat_a_source_too_often_is_refused_with_the_shortage(run_file, capsys):
    run_file.write_text(RUN.replace("tokens: 1024", "tokens: 1024, max_epochs: 1"))
    assert main(["plan", str(run_file)]) == 2
    assert "short of 352 tokens" in capsys.readouterr().err


@pytest.mark.parametrize("processes", ["1", "3"])
def test_processes_that_the_layout_cannot_use_are_refused_before_any_starts(
    processes, run_file, capsys, outside_ranks, tmp_path
):
    run_file.write_text(RUN + "layout: {tensor: 2, pipeline: 1}\n")
    folder = tmp_path / "run"
    assert main(["train", str(run_file), "--output", str(folder), "--processes", processes]) == 2
    assert "a multiple of 2" in capsys.readouterr().err
    assert not folder.exists()


def test_processes_that_cannot_share_out_the_batch_are_refused_before_any_starts(
    run_file, capsys, outside_ranks, tmp_path
):
    assert main(["train", str(run_file), "--output", str(tmp_path / "run"), "--processes", "3"]) == 2
    assert "batch.global_batch" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_whose_corpus_is_missing_is_refused_before_any_process_starts(run_file, capsys, outside_ranks, tmp_path):
    run_file.write_text(RUN.replace("corpus: corpus", "corpus: elsewhere"))
    assert main(["train", str(run_file), "--output", str(tmp_path / "run"), "--processes", "2"]) == 2
    assert "elsewhere" in capsys.readouterr().err


def test_stats_count_a_corpus(run_file, capsys):
    assert main(["data", "stats", str(run_file.parent / "corpus"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["documents"], found["tokens"]) == (7, 700)
    assert found["tokens_per_document"]["median"] == 100


def test_documents_become_a_verified_corpus_by_commands_alone(tmp_path, capsys):
    raw = tmp_path / "raw.jsonl"
    texts = [f"Table {n} holds row {n * n} and index {n + 7}. " * 20 for n in range(60)]
    rows = [{"id": f"page{n}", "text": text, "source": "tables", "licence": "none"} for n, text in enumerate(texts)]
    raw.write_text("".join(json.dumps(row) + "\n" for row in rows))
    work = tmp_path / "work"
    cleaned, tokenizer, corpus = work / "clean", work / "tokenizer", work / "corpus"
    documents = str(cleaned)
    assert main(["data", "clean", str(raw), str(cleaned)]) == 0
    assert main(["data", "tokenizer", documents, str(tokenizer), "--vocabulary", "320"]) == 0
    assert main(["data", "tokenize", documents, str(corpus), "--tokenizer", str(tokenizer)]) == 0
    assert main(["data", "verify", str(corpus)]) == 0
    capsys.readouterr()
    assert main(["data", "tokenize", documents, str(corpus), "--tokenizer", str(tokenizer), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["documents"] == 60
    refused = ["data", "tokenize", documents, str(corpus), "--tokenizer", str(tokenizer), "--max-tokens", "9999"]
    assert main(refused) == 2
    assert "other inputs or settings" in capsys.readouterr().err


def test_a_log_gets_few_plain_lines_of_progress_and_always_the_last(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with output.Progress("embedding", unit="documents") as progress:
        for done in range(1001):
            progress.update(done, 1000)
    assert log.getvalue().splitlines() == ["embedding: 0 of 1,000 documents", "embedding: 1,000 of 1,000 documents"]


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_one_command_trains_on_any_number_of_processes_and_another_evaluates(
    processes, run_file, outside_ranks, tmp_path
):
    run_file.write_text(RUN + "tracking: {wandb: disabled, tensorboard: false}\n")
    folder = tmp_path / "run"
    trained = call("train", str(run_file), "--output", str(folder), "--processes", processes)
    assert trained.returncode == 0, trained.stderr
    assert "steps: 8" in trained.stdout
    evaluated = call("eval", str(folder), "--heldout", str(tmp_path / "corpus"), "--json")
    assert evaluated.returncode == 0, evaluated.stderr
    assert json.loads((folder / "results.json").read_text())["heldout"]["tokens"] == 699
