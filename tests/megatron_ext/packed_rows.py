"""Measures what the neighbours of a stretch in its row change for it: a program, run by test_isolation.py.

Shape suffixes: R rows, S positions.
"""

import json

import numpy as np
import torch
from torch import Tensor

from megatron_ext import platform
from megatron_ext.config import LayoutConfig, ModelConfig
from megatron_ext.data.batches import Batch, stack
from megatron_ext.data.rows import Row, stretches
from megatron_ext.model import build_model
from megatron_ext.training.step import stretch_bounds

LENGTH = 64
SIZES = ModelConfig(layers=3, hidden=32, ffn=64, heads=4, kv_heads=2, vocabulary=400, init_std=0.2)
LENGTHS = (40, 17, 23, 5, 30)
"""Of the stretches."""
PACKED = ((0, 1), (2, 3, 4))
"""Stretches of each row."""
PLACES = ((0, 0), (0, 40), (1, 0), (1, 23), (1, 28))
"""Row of each stretch, and where it begins there."""


def row(numbers: tuple[int, ...]) -> Row:
    ids = np.random.default_rng(1).integers(0, 400, (len(LENGTHS), 41))
    tokens, labels = np.zeros(LENGTH, dtype=np.int64), np.zeros(LENGTH, dtype=np.int64)
    begins, place = [], 0
    for number in numbers:
        size = LENGTHS[number]
        tokens[place : place + size], labels[place : place + size] = ids[number][:size], ids[number][1 : size + 1]
        begins.append(place)
        place += size
    begins += [place] if place < LENGTH else []
    return Row(tokens, labels, np.ones(LENGTH, dtype=np.float32), *stretches(np.array(begins), LENGTH))


def measure(model: torch.nn.Module) -> dict[str, float]:
    def losses(batch: Batch, positions_RS: Tensor | None, bounds: Tensor | None) -> Tensor:
        model.rotary_pos_emb.positions_RS = positions_RS
        return model(batch.tokens_RS, batch.positions_RS, bounds, labels=batch.labels_RS)

    together = stack([row(numbers) for numbers in PACKED], [0] * len(PACKED))
    single = stack([row((number,)) for number in range(len(LENGTHS))], [0] * len(LENGTHS))
    bounds = stretch_bounds(together.document_RS)
    packed = losses(together, together.positions_RS, bounds)
    apart = losses(single, single.positions_RS, stretch_bounds(single.document_RS))
    joined = losses(together, None, None)
    running = losses(together, torch.arange(LENGTH).expand(2, -1), bounds)
    pairs = [
        packed[r, begin : begin + size] - apart[n, :size]
        for n, ((r, begin), size) in enumerate(zip(PLACES, LENGTHS, strict=True))
    ]
    return {
        "pairs": max(difference.abs().max().item() for difference in pairs),
        "joined differs": (joined - packed).abs().max().item(),
        "first stretch is the same": (joined[:, :17] - packed[:, :17]).abs().max().item(),
        "positions": (running - packed).abs().max().item(),
    }


if __name__ == "__main__":
    platform.start(LayoutConfig(), seed=1)
    layout = LayoutConfig()
    model = build_model(SIZES, sequence_length=LENGTH, layout=layout, precision="fp32", seed=3, isolated=True)[0]
    print(json.dumps(measure(model)))
