"""What each rank writes of a checkpoint, agreed on by all ranks once and remembered as long as it stays the same."""

import io
import math
from dataclasses import dataclass
from typing import Any

import torch
from megatron.core.dist_checkpointing.state_dict_utils import save_preprocess
from megatron.core.dist_checkpointing.strategies.torch import (
    MCoreSavePlanner,
    _replace_state_dict_keys_with_sharded_keys,
    mcore_to_pyt_state_dict,
)
from torch import Tensor
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import SavePlan, WriteItem

from megatron_ext import platform


@dataclass(frozen=True)
class Writes:
    """One rank's part of a checkpoint."""

    items: list[tuple[WriteItem, Tensor | io.BytesIO]]
    common: dict[str, Any]
    """What is equal on all ranks: the first one writes it."""
    bytes: int
    """Of the whole checkpoint, over all ranks."""


class Planner:
    """Turns sharded states into writes. Called by all ranks."""

    def __init__(self) -> None:
        self._plan: SavePlan | None = None
        self.metadata: Metadata | None = None
        """Of the whole checkpoint; on the first rank only."""

    def writes(self, state: dict[str, Any]) -> Writes:
        """What this rank has to write of a state, which is taken apart by this.

        The first time, ranks tell each other all they hold and check that together it is the whole, without overlap.
        Later they only compare it with what they held before, and sum up the bytes.
        """
        sharded, common = save_preprocess(state, validate_access_integrity=self._plan is None)
        by_key, _, _ = _replace_state_dict_keys_with_sharded_keys(sharded, keep_only_main_replica=True)
        planner = MCoreSavePlanner(flatten_state_dict=False)
        planner.set_up_planner(mcore_to_pyt_state_dict(by_key), is_coordinator=platform.is_first_rank())
        plan = planner.create_local_plan()
        items = [(item, planner.resolve_data(item)) for item in plan.items]
        changed, size = _sum_over_ranks(self._plan is None or plan.items != self._plan.items, sum(map(_bytes, items)))
        if changed:
            self.metadata = _agree(planner, plan)
            self._plan = plan
        return Writes(items, common, size)


def _sum_over_ranks(*numbers: int) -> list[int]:
    sums = torch.tensor(numbers, dtype=torch.int64, device=platform.device())
    torch.distributed.all_reduce(sums)
    return sums.tolist()


def _agree(planner: MCoreSavePlanner, plan: SavePlan) -> Metadata | None:
    """The whole checkpoint's metadata, on the first rank."""
    first = platform.is_first_rank()
    plans = [None] * torch.distributed.get_world_size() if first else None
    torch.distributed.gather_object(plan, plans)
    return planner.create_global_plan(plans)[1] if first else None


def _bytes(item: tuple[WriteItem, Tensor | io.BytesIO]) -> int:
    written, data = item
    if isinstance(data, io.BytesIO):
        return data.getbuffer().nbytes
    return math.prod(written.tensor_data.chunk.sizes) * data.element_size()
