"""A run of ours is what --model may name: exported once for each checkpoint, with the tokenizer of its corpora."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data_tools.errors import InputError
from data_tools.text.tokenizer import Tokenizer
from megatron_ext.cli.synthesizer import engine_model
from tests.support import ROOT, make_corpus, run_settings, train

TEXTS = ("select  from\n\n where", " join", "naïve 日本 12", "<eos><unk>")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a corpus, and a run on it that has two checkpoints."""
    folder = tmp_path_factory.mktemp("trained")
    corpus = make_corpus(folder)
    settings = run_settings(
        corpus, steps=2, checkpoint={"every": 1, "keep": 2}, sources={"real": {"corpus": str(corpus), "tokens": 2048}},
        batch={"sequence_length": 128, "global_batch": 8, "micro_batch": 2},
    )  # fmt: skip
    train(folder / "run", settings)
    return folder


@pytest.fixture
def outside_ranks(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(scope="module")
def printed(trained):
    """What the command printed on stdout that sampled from the run."""
    command = ["synth", "sbp", "corpus", "sampled", "--model", "run", "--documents", "5", "--json"]
    command += [word for name in ("empty", "short", "repetition") for word in ("--skip-filter", name)]
    done = subprocess.run(
        [sys.executable, "-m", "megatron_ext", *command], cwd=trained, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def exported(trained, printed):
    """The export of the run's newest checkpoint."""
    return trained / "run" / "exports" / "run-step_00000002"


@pytest.fixture
def run(trained, tmp_path, outside_ranks):
    """A copy of the run without exports."""
    shutil.copytree(trained / "run", tmp_path / "run", ignore=shutil.ignore_patterns("exports"))
    return tmp_path / "run"


def test_what_is_no_run_of_ours_is_left_to_the_engine(trained, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    for model in ("HuggingFaceTB/SmolLM2-135M-Instruct", str(tmp_path)):
        assert engine_model(model, trained / "corpus") == model


def test_a_run_is_sampled_by_its_name_alone_and_stdout_holds_one_json_value(printed, exported, trained):
    manifest = json.loads(printed)
    assert manifest["settings"]["generator"]["name"] == exported.name
    assert manifest["counts"]["documents"] == manifest["counts"]["seeds"] == 5
    assert manifest == json.loads((trained / "sampled" / "manifest.json").read_text())


def test_a_run_is_exported_once_and_a_checkpoint_of_it_apart(trained, exported, outside_ranks):
    made = (exported / "manifest.json").stat().st_mtime_ns
    assert engine_model(str(trained / "run"), trained / "corpus") == str(exported)
    assert (exported / "manifest.json").stat().st_mtime_ns == made
    older = Path(engine_model(str(trained / "run" / "checkpoints" / "step_00000001"), trained / "corpus"))
    assert older == trained / "run" / "exports" / "run-step_00000001"
    assert (older / "model.safetensors").read_bytes() != (exported / "model.safetensors").read_bytes()


def test_transformers_reads_and_writes_text_as_the_corpus_does(trained, exported):
    from transformers import AutoTokenizer

    ours = Tokenizer.load(trained / "corpus")
    theirs = AutoTokenizer.from_pretrained(exported)
    assert theirs.eos_token_id == ours.eos
    for ids in ours.encode(TEXTS):
        assert theirs.decode(ids) == ours.decode(ids)
    assert theirs(list(TEXTS[:3]), add_special_tokens=False)["input_ids"] == ours.encode(TEXTS[:3])


@pytest.mark.slow
def test_two_at_once_make_one_export(run, trained):
    script = (
        f"from pathlib import Path; from megatron_ext.cli.synthesizer import engine_model; "
        f"print(engine_model({str(run)!r}, Path({str(trained / 'corpus')!r})))"
    )
    command = [sys.executable, "-W", "ignore", "-c", script]
    pipe = subprocess.PIPE
    both = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert [out.strip() for out, _ in printed] == [str(run / "exports" / "run-step_00000002")] * 2
    assert sum("parameters" in err for _, err in printed) == 1


def test_a_run_of_another_tokenizer_than_the_corpus_is_refused_before_anything_is_exported(run, tmp_path):
    (tmp_path / "other").mkdir()
    other = make_corpus(tmp_path / "other", documents=50)
    with pytest.raises(InputError, match="another tokenizer"):
        engine_model(str(run), other)
    assert not (run / "exports").exists()


def test_a_run_whose_tokenizer_cannot_be_told_is_refused(run, trained):
    config = json.loads((run / "config.json").read_text())
    config["sources"]["real"]["corpus"] = str(run / "gone")
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="tokenizer isn't known"):
        engine_model(str(run), trained / "corpus")


def test_a_checkpoint_that_is_not_there_is_refused_with_those_that_are(run, trained):
    with pytest.raises(InputError, match="step_00000001, step_00000002"):
        engine_model(str(run / "checkpoints" / "step_00000009"), trained / "corpus")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_run_that_may_not_be_written_to_is_refused_with_the_command_that_exports_it(run, trained):
    run.chmod(0o500)
    with pytest.raises(InputError, match="convert export"):
        engine_model(str(run), trained / "corpus")
