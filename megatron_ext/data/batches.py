"""Planned samples to the tensors of a micro batch, read straight from the memory-mapped corpora.

Nothing is shuffled, copied or cached here: which row comes when is the plan's business, what a row is the source's.

Shape suffixes: R rows of a micro batch, S tokens of a row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from megatron_ext.config import RunConfig
from megatron_ext.data.sources import Source
from megatron_ext.plan.samples import Sample, SamplePlan


@dataclass(frozen=True)
class Batch:
    """One micro batch on this rank."""

    tokens_RS: Tensor
    labels_RS: Tensor
    loss_mask_RS: Tensor
    """1.0 where the label is to be learnt."""
    positions_RS: Tensor
    document_RS: Tensor | None = None
    source_R: Tensor | None = None


def micro_batches(
    plan: SamplePlan, sources: Mapping[str, Source], *, step: int, config: RunConfig, rank: int, ranks: int
) -> Iterator[Batch]:
    """This data-parallel rank's micro batches of one step (counted from 0).

    The rows of a step are shared out in turn: any number of ranks and any micro batch see the same global batch.
    """
    size = config.batch.micro_batch
    first = step * config.batch.global_batch
    for micro in range(config.batch.global_batch // (size * ranks)):
        start = first + (micro * ranks + rank) * size
        yield stack([read(plan.locate(i), sources) for i in range(start, start + size)])


def read(sample: Sample, sources: Mapping[str, Source]) -> tuple[np.ndarray, np.ndarray]:
    return sources[sample.source].row(sample.start)


def stack(rows: list[tuple[np.ndarray, np.ndarray]]) -> Batch:
    """Rows as read by `Source.row` to one batch."""
    tokens = torch.from_numpy(np.stack([tokens for tokens, _ in rows]))
    mask = torch.from_numpy(np.stack([mask for _, mask in rows]))
    positions = torch.arange(tokens.shape[1] - 1).expand(len(rows), -1)
    return Batch(
        tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), mask, positions, None, torch.zeros(len(rows)).long()
    )
