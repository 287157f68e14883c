"""How well a model predicts a corpus, in any layout: nats per token, and bits per byte where the tokenizer is known.

Nats per token compare models of one tokenizer, bits per byte models of any. Which tokens are predicted with what before
them says stretches.py; the ends of documents count as tokens.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.indexed import IndexedCorpus
from data_tools.errors import InputError
from data_tools.text.tokenizer import Tokenizer
from megatron_ext.config import RunConfig
from megatron_ext.data.batches import Batch, stack
from megatron_ext.data.rows import Row, filling_row, row_of
from megatron_ext.evaluation.inputs import has_tokenizer
from megatron_ext.evaluation.scores import bits_per_byte
from megatron_ext.evaluation.stretches import chunks, stretches, windows_of


@dataclass(frozen=True)
class Reading:
    """What a model makes of a corpus; W windows."""

    logprob_W: np.ndarray
    """Log-probability of all that is predicted in a window, in nats."""
    tokens_W: np.ndarray
    """How many tokens that are."""
    documents: int
    window: int
    stride: int

    def numbers(self) -> dict[str, float]:
        """"loss" (nats per token), "perplexity", "tokens" (predicted ones), "documents", "window", "stride"."""
        tokens = int(self.tokens_W.sum())
        loss = -float(self.logprob_W.sum()) / tokens
        return {
            "loss": loss, "perplexity": math.exp(min(700.0, loss)), "tokens": tokens, "documents": self.documents,
            "window": self.window, "stride": self.stride,
        }  # fmt: skip

    def items(self) -> list[dict[str, Any]]:
        """A line for each window: what a report resamples to tell how sure the loss is."""
        pairs = zip(self.logprob_W.tolist(), self.tokens_W.tolist(), strict=True)
        return [
            {"id": number, "logprob": round(logprob, 6), "tokens": tokens}
            for number, (logprob, tokens) in enumerate(pairs)
        ]


def perplexity(
    model: list[Any], config: RunConfig, corpus: IndexedCorpus, *, stride: int | None = None, by_document: bool = False
) -> Reading:
    """What a model makes of a corpus. Called by every rank; the same on all.

    Args:
        model: this rank's chunks.
        config: of the model's run.
        corpus: opened.
        stride: tokens between windows, at most those of a row; None: windows don't overlap.
        by_document: whether each document is predicted on its own.

    Raises:
        InputError: there is nothing to predict.
    """
    from megatron_ext.knowledge.probes import Measure

    window = config.batch.sequence_length
    stride = stride or window
    logprobs, targets = [], []
    for chunk in chunks(stretches(corpus, window=window, stride=stride, by_document=by_document)):
        targets.append(np.array([span.target for span in chunk]))
        logprobs.append(Measure(config, chunk)(model).astype(np.float64) * targets[-1])
    if not targets:
        raise InputError(
            where=str(corpus.prefix.parent), found="one token", expected="text to predict", fix="Name another corpus."
        )
    return Reading(np.concatenate(logprobs), np.concatenate(targets), len(corpus), window, stride)


def with_bytes(found: dict[str, float], corpus: IndexedCorpus, *, by_document: bool) -> dict[str, float]:
    """The same with "bytes" of the text that was predicted and "bits_per_byte", if the corpus has its tokenizer."""
    folder = corpus.prefix.parent
    if not has_tokenizer(folder):
        return found
    size = _text_bytes(corpus, Tokenizer.load(folder), by_document=by_document)
    return {**found, "bytes": size, "bits_per_byte": bits_per_byte(found["loss"] * found["tokens"], size)}


def _text_bytes(corpus: IndexedCorpus, tokenizer: Tokenizer, *, by_document: bool) -> int:
    """Bytes of UTF-8 of all documents, whose ends have none; as one stream without the first token's."""
    skipped = 0 if by_document else 1
    sizes = (
        len(tokenizer.decode(corpus.document(number)[skipped if number == 0 else 0 : -1].tolist()).encode())
        for number in range(len(corpus))
    )
    return sum(sizes)


def windows(corpus: IndexedCorpus, sequence_length: int) -> Iterator[Row]:
    """Every window of the corpus as one stream, none overlapping; the last one is padded."""
    for start, stop, predicted in windows_of(corpus.token_count, window=sequence_length, stride=sequence_length):
        tokens = np.zeros(sequence_length + 1, dtype=np.int64)
        tokens[: stop - start] = corpus.tokens(start, stop)
        mask = np.zeros(sequence_length, dtype=np.float32)
        mask[:predicted] = 1.0
        yield row_of(tokens, mask)


def opened(run: Path, config: RunConfig) -> list[Any]:
    """This rank's chunks of a run's model, with the weights of its newest checkpoint."""
    from megatron_ext.checkpoint.folders import require_latest
    from megatron_ext.checkpoint.loading import load
    from megatron_ext.model import build_model

    model = build_model(
        config.model, sequence_length=config.batch.sequence_length, layout=config.layout, precision=config.precision
    )
    load(require_latest(run), model=model, optimizer=None)
    for chunk in model:
        chunk.eval()
    return model


def share(rows: list[Row], config: RunConfig) -> Iterator[Batch]:
    """This rank's micro batches of some rows; filled up with masked rows so that every rank has as many."""
    from megatron.core import parallel_state

    rank, ranks = parallel_state.get_data_parallel_rank(), parallel_state.get_data_parallel_world_size()
    size, length = config.batch.micro_batch, config.batch.sequence_length
    rows = rows + [filling_row(length)] * (-len(rows) % (size * ranks))
    for start in range(rank * size, len(rows), size * ranks):
        # All rows come from the one corpus: which of the run's sources they are counted under does not matter.
        yield stack(rows[start : start + size], [0] * size)
