"""Small real runs for tests: a corpus of a few documents, a tiny model, and real processes."""

import atexit
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from data_tools.processes import die_with_parent
from data_tools.steps.tokenize import tokenize
from data_tools.text.readers import Document, write_documents
from data_tools.text.training import train_tokenizer
from megatron_ext.cli.main import main

ROOT = Path(__file__).parents[1]
WORDS = [
    "select", "insert", "update", "delete", "from", "where", "join", "index", "table", "row", "column", "value", "key",
    "null", "begin", "commit", "vacuum",
]  # fmt: skip
MODEL = {
    "layers": 2, "hidden": 32, "ffn": 64, "heads": 4, "kv_heads": 2, "vocabulary": 400, "tied_embeddings": True,
}  # fmt: skip


def make_corpus(folder: Path, *, documents: int = 40, name: str = "corpus") -> Path:
    """A corpus folder of documents that differ, and beside it their tokenizer."""
    source = folder / f"{name}.jsonl.zst"
    texts = (
        " ".join(WORDS[(number * 7 + place * (number % 5 + 1)) % len(WORDS)] for place in range(30 + number % 11))
        for number in range(documents)
    )
    write_documents(source, (Document(f"manual/{i}#0", f"{text} {i}", "test", "none") for i, text in enumerate(texts)))
    if not (folder / "tokenizer").exists():
        train_tokenizer([source], folder / "tokenizer", vocabulary=400)
    tokenize([source], folder / "tokenizer", folder / name)
    return folder / name


def mpiexec(ranks: int) -> list[str]:
    """The beginning of a command that starts ranks of MPI."""
    launcher = Path(sys.executable).with_name("mpiexec")
    if not launcher.exists():
        pytest.skip("no mpiexec beside this Python: pip install mpich mpi4py")
    return [str(launcher), "-n", str(ranks)]


@contextmanager
def small_disk(folder: Path, *, kilobytes: int) -> Iterator[Callable[[int], None]]:
    """A file system of its own in `folder`; yields a function that gives it another size."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine mounts no tmpfs")
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}k", str(folder)], check=True) and None
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def run_settings(corpus: Path, *, steps: int, **changes: Any) -> dict[str, Any]:
    """A run of 8 x 16 tokens a step over one corpus."""
    settings = {
        "model": MODEL,
        "sources": {"real": {"corpus": str(corpus), "tokens": steps * 128}},
        "batch": {"sequence_length": 16, "global_batch": 8, "micro_batch": 2},
        "schedule": {"peak_lr": 0.01, "end_lr": 0.001},
        "tracking": {"wandb": "disabled", "tensorboard": False},
    }
    return settings | changes


def start(folder: Path, settings: dict[str, Any], *, processes: int = 1) -> subprocess.Popen[str]:
    """Start `megatron-ext train` for a run file beside the run folder."""
    run_file = folder.with_suffix(".yaml")
    run_file.write_text(yaml.safe_dump(settings))
    arguments = ["train", str(run_file), "--output", str(folder), "--processes", str(processes)]
    return subprocess.Popen(
        [sys.executable, "-m", "megatron_ext", *arguments], cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def refusal(folder: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    """What `megatron-ext train` says to a run that it refuses before any process is started."""
    run_file = folder.parent / f"{folder.name}.refused.yaml"
    run_file.write_text(yaml.safe_dump(settings))
    with pytest.MonkeyPatch.context() as outside_ranks:
        for name in ("RANK", "WORLD_SIZE"):
            outside_ranks.delenv(name, raising=False)
        assert main(["train", str(run_file), "--output", str(folder)]) == 2
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    return printed


def wait_for_step(folder: Path, process: subprocess.Popen[str], step: int) -> None:
    """Until a run that is being trained has taken so many steps; a loaded machine takes its time."""
    for _ in range(6000):
        if (folder / "events.jsonl").exists() and f'"step": {step},' in (folder / "events.jsonl").read_text():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise AssertionError("the run did not get there")


def train_by_command(folder: Path, settings: dict[str, Any], *, processes: int = 1) -> list[float]:
    """Train to the end as a user does; the loss of every step."""
    process = start(folder, settings, processes=processes)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, printed
    return losses(folder)


def losses(folder: Path) -> list[float]:
    """The loss of every step, the last word on each where a step was trained again."""
    events = map(json.loads, (folder / "events.jsonl").read_text().splitlines())
    by_step = {event["step"]: event["loss"] for event in events if event["event"] == "step"}
    return [by_step[step] for step in sorted(by_step)]


def train(folder: Path, settings: dict[str, Any], *, processes: int = 1) -> list[float]:
    """Train to the end; the loss of every step. See `train_many`."""
    return train_many(folder.parent, {folder.name: settings}, processes=processes)[folder.name]


def train_many(folder: Path, runs: dict[str, dict[str, Any]], *, processes: int = 1) -> dict[str, list[float]]:
    """Train runs one after the other; the losses of each. Run folders have the names of the runs.

    The ranks are those of `megatron-ext train`, forked from a process that is there already: see `run_module`.
    """
    for name, settings in runs.items():
        file = folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings))
        run_module("megatron_ext", "train", file, "--output", folder / name, ranks=processes)
    return {name: losses(folder / name) for name in runs}


def run_module(module: str, *arguments: Any, ranks: int = 0, folder: Path = ROOT) -> str:
    """What `python -m module` prints, as so many ranks of a group, or as one process outside of any.

    It begins with Megatron-core imported, which takes seconds of every process that is started anew.
    """
    server = _warm_ranks()
    with TemporaryDirectory() as scratch:
        printed = {name: Path(scratch, name) for name in ("stdout", "stderr")}
        job = {"module": module, "arguments": [str(word) for word in arguments], "ranks": ranks, "folder": str(folder)}
        server.stdin.write(json.dumps(job | {name: str(path) for name, path in printed.items()}) + "\n")
        server.stdin.flush()
        status = server.stdout.readline().strip()
        out, err = (path.read_text() if path.exists() else "" for path in printed.values())
    assert status == "0", f"status {status}\n{out}\n{err}"
    return out


@cache
def _warm_ranks() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.warm_ranks"], cwd=ROOT, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True, preexec_fn=die_with_parent,
    )  # fmt: skip
    atexit.register(server.communicate)
    return server
