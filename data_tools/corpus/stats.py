"""What a corpus holds, in a few figures, read from its index."""

from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus


def stats(folder: Path) -> dict[str, Any]:
    """Documents, tokens and the quantiles of document lengths.

    Args:
        folder: corpus folder.

    Returns:
        {"documents", "tokens", "dtype", "tokens_per_document": {"least", "p10", "median", "p90", "most", "mean"}};
        lengths count the end-of-document token, and are missing where there is no document.

    Raises:
        InputError: there is no corpus, or it can't be read.
    """
    corpus = IndexedCorpus(folder / CORPUS_PREFIX)
    found: dict[str, Any] = {"documents": len(corpus), "tokens": corpus.token_count, "dtype": str(corpus.dtype)}
    if len(corpus):
        least, p10, median, p90, most = np.quantile(corpus.lengths, [0, 0.1, 0.5, 0.9, 1]).tolist()
        mean = corpus.token_count / len(corpus)
        found["tokens_per_document"] = {
            "least": least, "p10": p10, "median": median, "p90": p90, "most": most, "mean": mean,
        }  # fmt: skip
    return found
