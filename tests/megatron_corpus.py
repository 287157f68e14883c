"""Corpora read and written by Megatron-core itself.

As a program it does so in a process that has Megatron-core: `read PREFIX` prints the documents, `write PREFIX
VOCABULARY FILE` writes those of a JSON file.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.support import run_module


def read_by_megatron(prefix: Path) -> list[list[int]]:
    """The tokens of every document."""
    return json.loads(run_module("tests.megatron_corpus", "read", prefix))


def write_by_megatron(prefix: Path, documents: Sequence[np.ndarray], *, vocabulary: int) -> None:
    file = prefix.with_suffix(".json")
    file.write_text(json.dumps([tokens.tolist() for tokens in documents]))
    run_module("tests.megatron_corpus", "write", prefix, vocabulary, file)


def _read(prefix: str) -> None:
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    corpus = IndexedDataset(prefix)
    assert corpus.document_indices.tolist() == list(range(len(corpus) + 1))
    print(json.dumps([corpus[number].tolist() for number in range(len(corpus))]))


def _write(prefix: str, vocabulary: str, file: str) -> None:
    import torch
    from megatron.core.datasets.indexed_dataset import DType, IndexedDatasetBuilder

    builder = IndexedDatasetBuilder(f"{prefix}.bin", dtype=DType.optimal_dtype(int(vocabulary)))
    for tokens in json.loads(Path(file).read_text()):
        builder.add_item(torch.tensor(tokens))
        builder.end_document()
    builder.finalize(f"{prefix}.idx")


if __name__ == "__main__":
    {"read": _read, "write": _write}[sys.argv[1]](*sys.argv[2:])
