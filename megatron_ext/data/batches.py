"""Planned samples to the tensors of a micro batch, read straight from the memory-mapped corpora.

Nothing is shuffled, copied or cached here: which row comes when is the plan's business, what a row is the source's.

Shape suffixes: R rows of a micro batch, S positions of a row.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from megatron_ext.config import RunConfig
from megatron_ext.data.injection import Passages, inject
from megatron_ext.data.rows import Row, filling_row
from megatron_ext.data.sources import Source
from megatron_ext.plan.samples import SamplePlan

FILLING = -1
"""In place of a source: a row that fills up a partial last batch."""


@dataclass(frozen=True)
class Batch:
    """One micro batch on this rank."""

    tokens_RS: Tensor
    labels_RS: Tensor
    loss_mask_RS: Tensor
    """float32, 1.0 where the label is to be learnt."""
    positions_RS: Tensor
    document_RS: Tensor | None
    """int32: the position at which the stretch begins that this token may attend to. None: all rows are one stretch."""
    source_R: Tensor
    """int64: number of the row's source among all, by name; -1 for a filling row, all of it masked."""
    injected_RS: Tensor | None = None
    """bool: the positions that an injected passage took. None: no row has one."""


def micro_batches(
    plan: SamplePlan,
    sources: Mapping[str, Source],
    *,
    step: int,
    config: RunConfig,
    rank: int,
    ranks: int,
    passages: Passages | None = None,
) -> Iterator[Batch]:
    """This data-parallel rank's micro batches of one step (counted from 0).

    The rows of a step are shared out in turn: any number of ranks and any micro batch see the same global batch. A
    batch that does not go round is filled up with masked rows, so that every rank has as many micro batches.

    Args:
        plan: which sample comes when, and which of them begins with a passage.
        sources: of the run, opened.
        step: counted from 0.
        config: the run.
        rank: this data-parallel rank.
        ranks: how many there are.
        passages: what the run injects; needed where the plan names some.
    """
    size, samples = config.batch.micro_batch, plan.samples_of(step)
    numbers = {name: number for number, name in enumerate(sorted(config.sources))}
    for start in range(0, len(samples), size * ranks):
        mine = samples[start + rank * size : start + (rank + 1) * size]
        located = [plan.locate(i) for i in mine]
        missing = size - len(located)
        rows = [sources[sample.source].row(sample) for sample in located]
        for place, showing in ((place, plan.showings.get(i)) for place, i in enumerate(mine)):
            if showing is not None:
                rows[place] = inject(rows[place], passages[showing])
        rows += [filling_row(config.batch.sequence_length)] * missing
        yield stack(rows, [numbers[sample.source] for sample in located] + [FILLING] * missing)


def stack(rows: Sequence[Row], source_numbers: Sequence[int]) -> Batch:
    """Rows to one batch."""
    document_RS = None
    if any(row.document_S is not None for row in rows):
        whole = np.zeros(len(rows[0].tokens_S), dtype=np.int32)
        document_RS = _stacked([whole if row.document_S is None else row.document_S for row in rows])
    return Batch(
        tokens_RS=_stacked([row.tokens_S for row in rows]),
        labels_RS=_stacked([row.labels_S for row in rows]),
        loss_mask_RS=_stacked([row.loss_mask_S for row in rows]),
        positions_RS=_stacked([row.positions_S for row in rows]),
        document_RS=document_RS,
        source_R=torch.tensor(source_numbers),
        injected_RS=_injected(rows),
    )


def _injected(rows: Sequence[Row]) -> Tensor | None:
    if not any(row.injected for row in rows):
        return None
    taken_R1 = torch.tensor([[row.injected] for row in rows])
    return torch.arange(len(rows[0].tokens_S)) < taken_R1


def _stacked(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))
