"""Loss by position on long documents: whether a model makes use of what stands far before.

A row is the beginning of one held-out document that fills it, so position p has p tokens of the same document before
it. Positions are put together in buckets that double in width.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_tools.corpus.indexed import IndexedCorpus
from data_tools.errors import InputError
from megatron_ext import platform
from megatron_ext.config import RunConfig
from megatron_ext.data.rows import Row, row_of
from megatron_ext.evaluation.inputs import check_inputs
from megatron_ext.evaluation.perplexity import opened, share
from megatron_ext.evaluation.results import record
from megatron_ext.training.step import forward_backward

FIRST_BUCKET = 64
"""Positions."""


def evaluate_positions(runs: list[Path], heldout: Path) -> dict[str, list[dict[str, Any]]]:
    """Loss by position of each run's newest checkpoint; also put into `<run>/results.json`. Called by every rank.

    Args:
        runs: run folders.
        heldout: corpus folder.

    Returns:
        Run folder -> [{"from", "to" (positions, from 0, both included), "loss" (nats per token), "tokens"}, ...]

    Raises:
        InputError: no document fills a row, or as for `evaluate`.
    """
    configs, corpus = check_inputs(runs, heldout)
    platform.start(configs[0].layout, seed=configs[0].seed)
    try:
        results = {}
        for run, config in zip(runs, configs, strict=True):
            results[str(run)] = _by_bucket(_sums_S2(run, config, corpus))
            if platform.is_first_rank():
                record(run, "by_position", results[str(run)])
        return results
    finally:
        platform.stop()


def long_documents(corpus: IndexedCorpus, sequence_length: int) -> Iterator[Row]:
    """The first tokens of each document that has more than a row of them."""
    for number in np.flatnonzero(corpus.lengths > sequence_length).tolist():
        yield row_of(corpus.document(number)[: sequence_length + 1].astype(np.int64))


def buckets(sequence_length: int) -> list[tuple[int, int]]:
    """(first position, one past the last): 0 to 63, then ever twice as many."""
    edges = [0, min(FIRST_BUCKET, sequence_length)]
    while edges[-1] < sequence_length:
        edges.append(min(2 * edges[-1], sequence_length))
    return list(zip(edges, edges[1:], strict=False))


def _sums_S2(run: Path, config: RunConfig, corpus: IndexedCorpus) -> Tensor:
    """For each position the sum of the losses, and of their number, over all ranks."""
    length = config.batch.sequence_length
    rows = list(long_documents(corpus, length))
    if not rows:
        raise InputError(
            where=str(corpus.prefix.parent), found=f"no document of more than {length} tokens",
            expected="long documents, whose beginnings fill rows of the run", fix="Hold out longer documents.",
        )  # fmt: skip
    sums_S2 = torch.zeros(length, 2, dtype=torch.float64, device=platform.device())

    def watch(losses_RS: Tensor, loss_mask_RS: Tensor) -> None:
        sums_S2[:, 0] += losses_RS.double().sum(0)
        sums_S2[:, 1] += loss_mask_RS.double().sum(0)

    with torch.no_grad():
        forward_backward(opened(run, config), share(rows, config), config, forward_only=True, watch=watch)
    torch.distributed.all_reduce(sums_S2)
    return sums_S2


def _by_bucket(sums_S2: Tensor) -> list[dict[str, Any]]:
    rows = []
    for first, stop in buckets(len(sums_S2)):
        loss, tokens = sums_S2[first:stop].sum(0).tolist()
        rows.append({"from": first, "to": stop - 1, "loss": loss / tokens, "tokens": int(tokens)})
    return rows
