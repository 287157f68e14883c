"""Planned samples to the tensors of a micro batch, read straight from the memory-mapped corpora.

Nothing is shuffled, copied or cached here: which row comes when is the plan's business, what a row is the source's.

Shape suffixes: R rows of a micro batch, S tokens of a row.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from megatron_ext.config import RunConfig
from megatron_ext.data.rows import Row, masked
from megatron_ext.data.sources import Source
from megatron_ext.plan.samples import SamplePlan

FILLING = -1
"""Source of a row that only fills up a batch."""


@dataclass(frozen=True)
class Batch:
    """One micro batch on this rank."""

    tokens_RS: Tensor
    labels_RS: Tensor
    loss_mask_RS: Tensor
    """float32; 1.0 where the label is to be learnt."""
    positions_RS: Tensor
    document_RS: Tensor | None
    """int32; the position at which the stretch begins that a token may attend to. None: every row is one stretch."""
    source_R: Tensor
    """Number of the row's source among the run's, by name; FILLING for a row that trains nothing."""


def micro_batches(
    plan: SamplePlan, sources: Mapping[str, Source], *, step: int, config: RunConfig, rank: int, ranks: int
) -> Iterator[Batch]:
    """This data-parallel rank's micro batches of one step (counted from 0).

    The rows of a step are shared out in turn: any number of ranks and any micro batch see the same global batch. A
    partial last one is filled up with masked rows, so that every rank has as many micro batches as the others.
    """
    size, numbers = config.batch.micro_batch, {name: number for number, name in enumerate(sorted(config.sources))}
    planned = plan.samples_of(step)
    empty = (masked(config.batch.sequence_length), FILLING)

    def read(i: int) -> tuple[Row, int]:
        if i not in planned:
            return empty
        sample = plan.locate(i)
        return sources[sample.source].row(sample), numbers[sample.source]

    at_once = size * ranks
    for start in range(planned.start + rank * size, planned.stop + -len(planned) % at_once, at_once):
        rows, origins = zip(*(read(i) for i in range(start, start + size)), strict=True)
        yield stack(rows, origins)


def stack(rows: Sequence[Row], origins: Sequence[int]) -> Batch:
    """Rows of one length to one batch, each with the number of its source."""
    length = len(rows[0].tokens_S)
    whole = np.arange(length, dtype=np.int64)
    positions = [whole if row.positions_S is None else row.positions_S for row in rows]
    document_RS = None
    if any(row.document_S is not None for row in rows):
        one = np.zeros(length, dtype=np.int32)
        document_RS = _tensor([one if row.document_S is None else row.document_S for row in rows])
    return Batch(
        tokens_RS=_tensor([row.tokens_S for row in rows]),
        labels_RS=_tensor([row.labels_S for row in rows]),
        loss_mask_RS=_tensor([row.loss_mask_S for row in rows]),
        positions_RS=_tensor(positions),
        document_RS=document_RS,
        source_R=torch.tensor(origins),
    )


def _tensor(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))
