"""What this rank holds of a model and of its optimizer, as Megatron-core's sharded tensors, in whatever layout.

The distributed optimizer cuts its flat buffers into equal shares, wherever that falls in a parameter. Megatron-core's
`fully_reshardable` layout gathers the shares of all data-parallel ranks before each save, and at loading gives every
rank the whole. Here each rank names its own share instead: a stretch of a parameter, read row by row, is at most a
few boxes of it, and a checkpoint takes boxes. The tensors in the files have the same names and shapes, so either
reads what the other wrote; nothing is gathered or copied. Weights are saved by the same shares: each rank those that
it has updated itself, so that it need not wait for the others'.

Keys of the dictionaries are of no importance to the files: a tensor is known by its own key, which names the layer in
the whole model. That is why chunks and stages may change between saving and loading.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from megatron.core.dist_checkpointing.dict_utils import extract_matching_values, nested_values
from megatron.core.dist_checkpointing.mapping import ShardedTensor, ShardedTensorFactory
from torch import Tensor

from megatron_ext.checkpoint.boxes import boxes_of

OPTIMIZER = "optimizer"
OPTIMIZER_LAYOUT = "fully_reshardable"
PREFIX = "optimizer.state"

Shard = ShardedTensor | ShardedTensorFactory


class Share(NamedTuple):
    """The stretch of a parameter that this rank updates."""

    shard: Shard
    """Where the parameter stands in the whole model."""
    parameter: Tensor
    start: int
    """Its first element in the parameter."""
    tensors: dict[str, Tensor]
    """Main parameter and moments of the stretch, flat."""


def state_to_save(model: list[Any], optimizer: Any | None) -> dict[str, Any]:
    """Everything that this rank writes: of weights and moments, what it updates itself.

    Args:
        model: this rank's chunks, in DistributedDataParallel or bare.
        optimizer: Megatron-core's distributed one; None: all weights, and nothing else.
    """
    state = _weights(model)
    if optimizer is None:
        return state
    trained = {id(parameter) for chunk in model for parameter in chunk.parameters() if parameter.requires_grad}
    shares = list(_shares(state, distributed(optimizer)))
    _, others = extract_matching_values(state, lambda shard: id(getattr(shard, "data", None)) in trained)
    weights = (
        box
        for shard, parameter, start, tensors in shares
        for box in _boxes("", shard, parameter, parameter.view(-1)[start : start + tensors["param"].numel()], start)
    )
    return others | {"weights": dict(enumerate(weights)), OPTIMIZER: _moments(shares, distributed(optimizer))}


def state_to_load(model: list[Any], optimizer: Any | None) -> dict[str, Any]:
    """Everything that this rank needs: all its weights, and its share of the moments. Reading into them loads.

    Args:
        model: this rank's chunks, in DistributedDataParallel or bare.
        optimizer: Megatron-core's distributed one. Its moments exist already, if any are to be read.
    """
    state = _weights(model)
    if optimizer is None:
        return state
    inner = distributed(optimizer)
    return state | {OPTIMIZER: _moments(list(_shares(state, inner)), inner)}


def _weights(model: list[Any]) -> dict[str, Any]:
    return {f"model{number}": bare(chunk).sharded_state_dict() for number, chunk in enumerate(model)}


def _moments(shares: list[Share], inner: Any) -> dict[str, Any]:
    boxes = (
        box
        for shard, parameter, start, tensors in shares
        for name, tensor in tensors.items()
        for box in _boxes(f"{PREFIX}.{name}.", shard, parameter, tensor, start)
    )
    parts = {"param_state": dict(enumerate(boxes)), "param_state_sharding_type": OPTIMIZER_LAYOUT}
    return inner.state_dict() | parts


def bare(chunk: Any) -> Any:
    """A model chunk without its DistributedDataParallel."""
    return chunk.module if hasattr(chunk, "ddp_config") else chunk


def distributed(optimizer: Any) -> Any:
    """The distributed optimizer in the chain that Megatron-core puts around it."""
    (inner,) = getattr(optimizer, "chained_optimizers", [optimizer])
    return inner


def _shares(state: dict[str, Any], inner: Any) -> Iterator[Share]:
    """What this rank updates, parameter by parameter."""
    shards = {id(shard.data): shard for shard in nested_values(state) if hasattr(shard, "key")}
    for buffer in inner.gbuf_ranges:
        for buckets in buffer.values():
            for bucket in buckets:
                for parameter, ranges in bucket["param_map"].items():
                    tensors = inner._get_main_param_and_optimizer_states(parameter)
                    yield Share(shards[id(parameter)], parameter, ranges["param"].start, tensors)


def _boxes(prefix: str, shard: Shard, parameter: Tensor, tensor: Tensor, start: int) -> Iterator[ShardedTensor]:
    """A flat tensor that belongs to the stretch of a parameter from `start` on, as boxes of the whole one."""
    flat, stop = tensor.detach().view(-1), start + tensor.numel()
    # A gated projection is one parameter here and two tensors in the file: the factory says which.
    parts = list(nested_values({"parts": shard.build()})) if isinstance(shard, ShardedTensorFactory) else [shard]
    for part in parts:
        begin = part.data.storage_offset() - parameter.storage_offset()
        low, high = max(start, begin), min(stop, begin + part.data.numel())
        for offsets, sizes in boxes_of(tuple(part.data.shape), low - begin, high - begin):
            count = math.prod(sizes)
            yield _box(prefix, part, offsets, sizes, flat[low - start : low - start + count])
            low += count


def _box(
    prefix: str, part: ShardedTensor, offsets: tuple[int, ...], sizes: tuple[int, ...], flat: Tensor
) -> ShardedTensor:
    leading = part.prepend_axis_num
    local_shape = (1,) * leading + sizes
    local_offset = (0,) * leading + offsets
    return replace(
        part,
        key=prefix + part.key,
        data=flat.view(local_shape),
        dtype=flat.dtype,
        local_shape=local_shape,
        global_offset=tuple(whole + here for whole, here in zip(part.global_offset, local_offset, strict=True)),
        axis_fragmentations=None,  # boxes need not form a grid
        replica_id=_without_data_parallel(part.replica_id),
        prepend_axis_num=0,
    )


def _without_data_parallel(replica: Any) -> Any:
    # The last place counts data-parallel ranks, of which just one holds this stretch.
    return (*replica[:-1], 0) if isinstance(replica, tuple) else 0
