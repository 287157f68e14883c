"""What benchmarks share: random corpora, runs on them, what a process costs, the table and JSON line at the end."""

import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from data_tools.corpus.indexed import CORPUS_PREFIX, CorpusWriter, token_dtype
from data_tools.corpus.manifest import run_step

ROOT = Path(__file__).parents[1]
LOOK_EVERY = 0.05
"""Seconds between looks at the memory of a process."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process cost."""

    seconds: float
    """From its start to its end, imports included."""
    peak: int
    """Most resident bytes of a single process, of all that the command started."""
    output: str
    """All that it wrote, errors included."""
    status: int

    @property
    def last_line(self) -> str:
        """What it said last: of a process that failed, why."""
        lines = self.output.strip().splitlines()
        return lines[-1] if lines else f"status {self.status}"


def timed(command: Sequence[str], environment: dict[str, str] | None = None) -> Spent:
    """Run a command to its end, and look at its processes while it runs.

    What the system counts itself (`ru_maxrss`) is of no use here: a process begins with its parent's figure, and those
    that a fork server starts are in nobody's.
    """
    peak = 0
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        while True:
            peak = max(peak, *map(_peak, _family(process.pid)))
            try:
                process.wait(LOOK_EVERY)
                break
            except subprocess.TimeoutExpired:
                continue
        seconds = time.monotonic() - began
        output.seek(0)
        said = output.read().decode(errors="replace")
    return Spent(seconds, peak, said, process.returncode)


def _family(pid: int) -> list[int]:
    """A process and all that came from it."""
    try:
        tasks = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # ended meanwhile
        return [pid]
    return [pid, *(grandchild for task in tasks for child in task for grandchild in _family(int(child)))]


def _peak(pid: int) -> int:
    """Most resident bytes of a process so far; the system keeps it, so that a look now and then is enough."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def use_cores(count: int) -> None:
    """Keep this process, and all that it starts, to so many cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def random_corpus(folder: Path, *, tokens: int, vocabulary: int, document: int = 1000) -> Path:
    """A corpus of random tokens: enough to measure speed, nothing to learn."""
    generator = np.random.default_rng(1)

    def build(scratch: Path) -> dict[str, int]:
        with CorpusWriter(scratch / CORPUS_PREFIX, token_dtype(vocabulary)) as writer:
            while writer.tokens < tokens:
                writer.add(generator.integers(0, vocabulary, document))
        return {"tokens": writer.tokens, "documents": writer.documents}

    run_step(folder, step="random", inputs={}, settings={"vocabulary": vocabulary}, build=build)
    return folder


def run_settings(
    model: dict[str, Any] | Path, corpus: Path, *, steps: int, batch: dict[str, int], **changes: Any
) -> dict[str, Any]:
    """A run over one corpus, without checkpoints on the way and without W&B."""
    sizes = model if isinstance(model, dict) else yaml.safe_load(model.read_text())
    tokens = steps * batch["global_batch"] * batch["sequence_length"]
    return {
        "model": sizes,
        "sources": {"random": {"corpus": str(corpus), "tokens": tokens}},
        "batch": batch,
        "schedule": {"peak_lr": 0.0003, "end_lr": 0.00003, "warmup": 0.1},
        "checkpoint": {"every": 10**9},
        "tracking": {"wandb": "disabled", "tensorboard": False},
    } | changes


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def show(title: str, rows: Sequence[dict[str, Any]], *, ratios: dict[str, float], figures: dict[str, Any]) -> None:
    """Print a table of rows with the same keys, and as the last line the JSON for a program."""
    columns = list(rows[0])
    texts = [columns] + [[f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()]
                         for row in rows]  # fmt: skip
    widths = [max(len(line[place]) for line in texts) for place in range(len(columns))]
    print(title)
    for line in texts:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    print(json.dumps({"ratios": {name: round(value, 4) for name, value in ratios.items()}, "figures": figures}))
