"""Vectors -> the nearest neighbours of each, by inner product; exact."""

from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.manifest import Manifest, run_step
from data_tools.steps.embed import VECTORS

IDS, SIMILARITIES = "ids.npy", "similarities.npy"


def neighbors(vectors: Path, output: Path, *, top_k: int = 200, replace: bool = False) -> Manifest:
    """Find neighbours with faiss' exact index.

    Args:
        vectors: folder written by `embed`.
        output: folder to make: `ids.npy` int64 and `similarities.npy` float32, both (documents, k), nearest first; a
            document is never its own neighbour. k is smaller than top_k where there are fewer documents.
        top_k: neighbours of each.
        replace: remove an output that other inputs or settings made.
    """

    def build(scratch: Path) -> dict[str, Any]:
        import faiss

        matrix = np.load(vectors / VECTORS).astype(np.float32)
        index = faiss.IndexFlatIP(matrix.shape[1])
        index.add(matrix)
        k = min(top_k, len(matrix) - 1)
        similarities, ids = index.search(matrix, k + 1)
        # A duplicate may come before the document itself: drop the document by its number, not by its place.
        others = ids != np.arange(len(matrix))[:, None]
        others[others.all(axis=1), -1] = False
        np.save(scratch / IDS, ids[others].reshape(len(matrix), k).astype(np.int64))
        np.save(scratch / SIMILARITIES, similarities[others].reshape(len(matrix), k).astype(np.float32))
        return {"documents": len(matrix), "neighbors": k}

    inputs = {"vectors": vectors}
    return run_step(output, step="neighbors", inputs=inputs, settings={"top_k": top_k}, build=build, replace=replace)
