"""One pass of Megatron-core's schedule over the micro batches of all ranks, in any layout, and what came of it.

The loss is the mean over all trained tokens of the global batch, in nats per token, equal on every rank.

Shape suffixes: R rows of a micro batch, S tokens of a row, K what the run's losses are counted under: its sources, and
injected passages.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.pipeline_parallel import get_forward_backward_func
from torch import Tensor

from megatron_ext import platform
from megatron_ext.config import RunConfig
from megatron_ext.data.batches import Batch
from megatron_ext.training.metrics import StepLoss

Watch = Callable[[Tensor, Tensor], None]
"""watch(losses_RS, loss_mask_RS), float32, on the first tensor rank of the last stage."""


def forward_backward(
    model: list[Any], batches: Iterable[Batch], config: RunConfig, *, forward_only: bool, watch: Watch | None = None
) -> StepLoss:
    """Run the schedule; with `forward_only` no gradient is made. Returns the loss over all ranks.

    Args:
        model: this rank's chunks.
        batches: this rank's micro batches; every rank has as many.
        config: the run.
        forward_only: whether this is an evaluation.
        watch: is shown the losses of each micro batch, in their order.
    """
    listed = _filled(list(batches), config)
    results = get_forward_backward_func()(
        forward_step_func=partial(_forward_step, counted=len(config.counted), watch=watch),
        # Every chunk of an interleaved pipeline reads the same micro batches, each at its own time.
        data_iterator=[iter(listed) for _ in model] if len(model) > 1 else iter(listed),
        model=model if len(model) > 1 else model[0],
        num_microbatches=len(listed),
        seq_length=config.batch.sequence_length,
        micro_batch_size=config.batch.micro_batch,
        forward_only=forward_only,
    )
    sums_K2 = torch.zeros(len(config.counted), 2, dtype=torch.float64, device=platform.device())
    # Every tensor rank of the last stage holds the same loss: one of them speaks.
    if parallel_state.is_pipeline_last_stage() and parallel_state.get_tensor_model_parallel_rank() == 0:
        for result in results:
            sums_K2 += result["sums"].double()
    torch.distributed.all_reduce(sums_K2)
    return StepLoss.of(config.counted, sums_K2.tolist())


def _filled(batches: list[Batch], config: RunConfig) -> list[Batch]:
    """An interleaved pipeline goes round in groups of its ranks: the last group is filled up with masked batches."""
    if config.layout.chunks == 1:
        return batches
    empty = replace(batches[-1], loss_mask_RS=torch.zeros_like(batches[-1].loss_mask_RS))
    return batches + [empty] * (-len(batches) % config.layout.pipeline)


def _forward_step(
    batches: Iterator[Batch], model: Any, *, counted: int, watch: Watch | None
) -> tuple[Tensor, Callable[[Tensor], tuple]]:
    batch = _this_context_rank(next(batches))
    place = platform.device()
    bounds = None if batch.document_RS is None else stretch_bounds(batch.document_RS).to(place)
    positions_RS = batch.positions_RS.to(place)
    _rotary(model).positions_RS = None if bounds is None else positions_RS
    losses = model(batch.tokens_RS.to(place), positions_RS, bounds, labels=batch.labels_RS.to(place))
    injected_RS = None if batch.injected_RS is None else batch.injected_RS.to(place)
    return losses, partial(
        _loss_of, batch.loss_mask_RS.to(place), batch.source_R.to(place), injected_RS, counted, watch
    )


def stretch_bounds(document_RS: Tensor) -> Tensor:
    """Where stretches begin and end in the rows laid end to end: rising from 0 to R x S, int32."""
    rows, length = document_RS.shape
    begins = document_RS == torch.arange(length, dtype=document_RS.dtype)
    return torch.cat([begins.flatten().nonzero()[:, 0], torch.tensor([rows * length])]).int()


def _loss_of(
    loss_mask_RS: Tensor,
    source_R: Tensor,
    injected_RS: Tensor | None,
    counted: int,
    watch: Watch | None,
    losses_RS: Tensor,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    masked_RS = losses_RS.float() * loss_mask_RS
    if watch is not None and parallel_state.get_tensor_model_parallel_rank() == 0:
        watch(masked_RS.detach(), loss_mask_RS)
    sums_K2 = _sums(masked_RS.detach(), loss_mask_RS, source_R, injected_RS, counted)
    return masked_RS.sum(), loss_mask_RS.sum().int(), {"sums": sums_K2}


def _sums(
    losses_RS: Tensor, loss_mask_RS: Tensor, source_R: Tensor, injected_RS: Tensor | None, counted: int
) -> Tensor:
    """Sum of losses and trained tokens of each source, and last of the passages that were injected into its rows."""
    sums_K2 = losses_RS.new_zeros(counted, 2)
    if injected_RS is not None:
        # Filled, not indexed: a selection of unknown size would wait for the GPU.
        both = (losses_RS, loss_mask_RS)
        sums_K2[-1] = torch.stack([whole_RS.masked_fill(~injected_RS, 0.0).sum() for whole_RS in both])
        losses_RS, loss_mask_RS = (whole_RS.masked_fill(injected_RS, 0.0) for whole_RS in both)
    by_row_R2 = torch.stack([losses_RS.sum(1), loss_mask_RS.sum(1)], dim=1)
    # A row that only fills up a batch has source -1 and no trained token: it adds nothing wherever it is counted.
    return sums_K2.index_add_(0, source_R.clamp(min=0), by_row_R2)


def _this_context_rank(batch: Batch) -> Batch:
    """This context rank's positions: of 2 x ranks stretches one from the front and its mirror image from the back,
    so that causal attention costs every rank the same (the order that Transformer Engine expects)."""
    ranks = parallel_state.get_context_parallel_world_size()
    if ranks == 1:
        return batch
    rank = parallel_state.get_context_parallel_rank()

    def part(whole_RS: Tensor) -> Tensor:
        stretches = whole_RS.chunk(2 * ranks, dim=1)
        return torch.cat([stretches[rank], stretches[2 * ranks - 1 - rank]], dim=1)

    return replace(
        batch,
        tokens_RS=part(batch.tokens_RS),
        labels_RS=part(batch.labels_RS),
        loss_mask_RS=part(batch.loss_mask_RS),
        positions_RS=part(batch.positions_RS),
        injected_RS=None if batch.injected_RS is None else part(batch.injected_RS),
    )


def _rotary(model: Any) -> Any:
    return (model.module if hasattr(model, "ddp_config") else model).rotary_pos_emb
