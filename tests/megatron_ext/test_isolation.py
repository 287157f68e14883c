"""What stands beside a document in its row changes nothing for it where documents are kept apart."""

import json
import os
import subprocess
import sys

import pytest

from tests.support import ROOT

MEASURE = """
import json, sys
import numpy as np, torch
from megatron_ext import platform
from megatron_ext.config import LayoutConfig, ModelConfig
from megatron_ext.data.batches import stack
from megatron_ext.data.rows import Row, stretches
from megatron_ext.model import build_model
from megatron_ext.training.step import stretch_bounds

LENGTH = 64
platform.start(LayoutConfig(), seed=1)
sizes = ModelConfig(layers=3, hidden=32, ffn=64, heads=4, kv_heads=2, vocabulary=400, init_std=0.2)
model = build_model(sizes, sequence_length=LENGTH, layout=LayoutConfig(), precision="fp32", seed=3, isolated=True)[0]
ids = np.random.default_rng(1).integers(0, 400, (6, 41))
alone_lengths = [40, 17, 23, 5, 30, 12]

def losses(rows):
    batch = stack(rows, [0] * len(rows))
    bounds = stretch_bounds(batch.document_RS)
    model.rotary_pos_emb.positions_RS = batch.positions_RS
    return model(batch.tokens_RS, batch.positions_RS, bounds, labels=batch.labels_RS)

def row(numbers):
    tokens, labels = np.zeros(LENGTH, dtype=np.int64), np.zeros(LENGTH, dtype=np.int64)
    begins, place = [], 0
    for number in numbers:
        size = alone_lengths[number]
        tokens[place : place + size], labels[place : place + size] = ids[number][:size], ids[number][1 : size + 1]
        begins.append(place)
        place += size
    begins += [place] if place < LENGTH else []
    return Row(tokens, labels, np.ones(LENGTH, dtype=np.float32), *stretches(np.array(begins), LENGTH))

packed = losses([row([0, 1]), row([2, 3, 4])])
apart = losses([row([number]) for number in range(5)])
found = {"pairs": max(
    (packed[r, a:a + alone_lengths[n]] - apart[n, : alone_lengths[n]]).abs().max().item()
    for n, (r, a) in enumerate([(0, 0), (0, 40), (1, 0), (1, 23), (1, 28)]))}
# The same rows without bounds: then neighbours do matter.
batch = stack([row([0, 1]), row([2, 3, 4])], [0, 0])
model.rotary_pos_emb.positions_RS = None
joined = model(batch.tokens_RS, batch.positions_RS, None, labels=batch.labels_RS)
found["joined differs"] = (joined - packed).abs().max().item()
found["first stretch is the same"] = (joined[:, :17] - packed[:, :17]).abs().max().item()
# Positions that start anew against positions that run on: rotations depend on distances only.
model.rotary_pos_emb.positions_RS = torch.arange(LENGTH).expand(2, -1)
running = model(batch.tokens_RS, batch.positions_RS, stretch_bounds(batch.document_RS), labels=batch.labels_RS)
found["positions"] = (running - packed).abs().max().item()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def measured():
    """In a process of its own: Megatron-core on a CPU changes torch for the whole process."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_loss_of_a_stretch_in_a_packed_row_is_its_loss_alone(measured):
    assert measured["pairs"] < 1e-5


def test_without_bounds_neighbours_are_seen(measured):
    assert measured["joined differs"] > 0.01
    assert measured["first stretch is the same"] < 1e-5


def test_positions_that_start_anew_change_nothing_within_a_stretch(measured):
    assert measured["positions"] < 1e-5
