"""What benchmarks share: random corpora, runs on them, and the table and JSON line at the end."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from data_tools.corpus.indexed import CORPUS_PREFIX, CorpusWriter, token_dtype
from data_tools.corpus.manifest import run_step

ROOT = Path(__file__).parents[1]


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
