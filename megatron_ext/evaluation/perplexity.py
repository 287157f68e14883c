"""Held-out loss of trained runs, on any corpus, in any layout.

The corpus is read as one stream of tokens, document after document, in windows of the run's sequence length that do
not overlap. Every token but the stream's first is predicted exactly once; the last window is padded and masked.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.indexed import IndexedCorpus
from data_tools.files import write_whole
from megatron_ext import platform
from megatron_ext.config import RunConfig
from megatron_ext.data.batches import Batch, stack
from megatron_ext.data.rows import Row, filling_row, row_of
from megatron_ext.evaluation.inputs import check_inputs
from megatron_ext.training.loop import Progress
from megatron_ext.training.step import forward_backward

RESULTS = "results.json"


def evaluate(runs: list[Path], heldout: Path, *, progress: Progress | None = None) -> dict[str, dict[str, float]]:
    """Held-out loss of each run's newest checkpoint; also written to `<run>/results.json`.

    All runs share one layout, and this is called by every rank.

    Args:
        runs: run folders.
        heldout: corpus folder.
        progress: called with (runs done, runs in all).

    Returns:
        Run folder -> {"loss": nats per token, "perplexity", "tokens", "documents"}.

    Raises:
        InputError: a run or the corpus is missing, or the runs differ in layout.
    """
    configs, corpus = check_inputs(runs, heldout)
    platform.start(configs[0].layout, seed=configs[0].seed)
    try:
        results = {}
        for done, (run, config) in enumerate(zip(runs, configs, strict=True), start=1):
            results[str(run)] = _evaluate_run(run, config, corpus)
            if progress and platform.is_first_rank():
                progress(done, len(runs))
        return results
    finally:
        platform.stop()


def windows(corpus: IndexedCorpus, sequence_length: int) -> Iterator[Row]:
    """Every window of the corpus; the last one is padded."""
    for start in range(0, corpus.token_count - 1, sequence_length):
        part = corpus.tokens(start, min(start + sequence_length + 1, corpus.token_count))
        tokens = np.zeros(sequence_length + 1, dtype=np.int64)
        tokens[: len(part)] = part
        mask = np.zeros(sequence_length, dtype=np.float32)
        mask[: len(part) - 1] = 1.0
        yield row_of(tokens, mask)


def _evaluate_run(run: Path, config: RunConfig, corpus: IndexedCorpus) -> dict[str, float]:
    import torch

    model = opened(run, config)
    with torch.no_grad():
        found = forward_backward(model, share(list(windows(corpus, config.batch.sequence_length)), config), config,
                                 forward_only=True)  # fmt: skip
    loss, tokens = found.loss, found.trained
    heldout = {"loss": loss, "perplexity": math.exp(loss), "tokens": tokens, "documents": len(corpus)}
    if platform.is_first_rank():
        record(run, "heldout", heldout)
    return heldout


def record(run: Path, name: str, value: Any) -> None:
    """Put one result into a run's `results.json`, beside the others."""
    path = run / RESULTS
    known = json.loads(path.read_text()) if path.exists() else {}
    write_whole(path, json.dumps(known | {name: value}, indent=1) + "\n")


def opened(run: Path, config: RunConfig) -> list[Any]:
    """This rank's chunks of a run's model, with the weights of its newest checkpoint."""
    from megatron_ext.checkpoint.folders import require_latest
    from megatron_ext.checkpoint.loading import load
    from megatron_ext.model import build_model

    model = build_model(
        config.model, sequence_length=config.batch.sequence_length, layout=config.layout, precision=config.precision
    )
    load(require_latest(run), model=model, optimizer=None)
    for chunk in model:
        chunk.eval()
    return model


def share(rows: list[Row], config: RunConfig) -> Iterator[Batch]:
    """This rank's micro batches of some rows; filled up with masked rows so that every rank has as many."""
    from megatron.core import parallel_state

    rank, ranks = parallel_state.get_data_parallel_rank(), parallel_state.get_data_parallel_world_size()
    size, length = config.batch.micro_batch, config.batch.sequence_length
    rows = rows + [filling_row(length)] * (-len(rows) % (size * ranks))
    for start in range(rank * size, len(rows), size * ranks):
        # All rows come from the one corpus: which of the run's sources they are counted under does not matter.
        yield stack(rows[start : start + size], [0] * size)
