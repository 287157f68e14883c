"""Documents of a corpus -> vectors of unit length: vector n belongs to document n.

A shard of documents is embedded at a time, sorted by length so that little is padding, and its vectors are written at
their place in one file. The batches depend on the corpus alone, so a model on the CPU gives the same bytes for any
number of workers; a GPU or a server rounds as it likes.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import Manifest, run_step
from data_tools.errors import EndedEarly, InputError
from data_tools.files import SHARDS, flush
from data_tools.steps.embedders import PACKAGED, Embedder, ModelSpec, load_embedder
from data_tools.steps.placement import threads_of_worker
from data_tools.steps.vectors import DTYPES, VECTORS, put_rows, stored
from data_tools.text.tokenizer import Tokenizer
from data_tools.workers import HERE, RECORD, Team, ranges, run_shards

SHARDS_OF_A_CORPUS = 1024
FEWEST, MOST = 64, 4096
"""Documents in a shard: few, so that little is lost when a worker dies; enough to sort them by length."""


def embed(
    corpus: Path,
    output: Path,
    *,
    model: ModelSpec | str = PACKAGED,
    dtype: str = "float16",
    max_tokens: int | None = None,
    replace: bool = False,
    crew: Team = HERE,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Embed the documents of a corpus.

    Args:
        corpus: folder written by `tokenize`.
        output: folder to make; holds `vectors.npy`, shape (documents, dimensions).
        model: which embedder; a name stands for a sentence-transformers model.
        dtype: `float16`, or `int8` for half of the space; each vector has a scale of its own, see `vectors`.
        max_tokens: of a document, in the corpus's own tokens, that are embedded; by default as many as the model reads.
        replace: remove an output that other inputs or settings made.
        crew: who works.
        progress: called with (documents done, documents in all).

    Raises:
        InputError: the corpus, the model or its engine is not there.
        EndedEarly: the model or the server failed on the way; what is finished is kept.
    """
    spec = ModelSpec(name=model) if isinstance(model, str) else model
    spec.require()
    if dtype not in DTYPES:
        raise InputError(where="--dtype", found=dtype, expected=" or ".join(DTYPES), fix="Choose one of them.")

    def build(scratch: Path) -> dict[str, Any]:
        documents = len(IndexedCorpus(corpus / CORPUS_PREFIX))
        size = min(MOST, max(FEWEST, -(-documents // SHARDS_OF_A_CORPUS)))
        shards = ranges(documents, size)
        work = EmbedShard(corpus, scratch / VECTORS, spec, dtype, max_tokens, crew.workers)

        def documents_done(done: int, _shards: int) -> None:
            if progress:
                progress(min(done * size, documents), documents)

        try:
            counts = run_shards(work, shards, scratch, crew, documents_done)
        except InputError as error:
            if any((scratch / SHARDS).glob(f"*/{RECORD}")):  # bad input would remove what took hours
                raise EndedEarly(f"{error}\n  What is finished is kept: run the same command again.") from None
            raise
        truncated = sum(count["truncated"] for count in counts)
        return {"documents": documents, "dimensions": counts[0]["dimensions"], "truncated": truncated}

    settings = spec.settings() | {"dtype": dtype, "max_tokens": max_tokens}
    return run_step(
        output, step="embed", inputs={"corpus": corpus}, settings=settings, build=build, replace=replace, task=crew.part
    )


@dataclass(frozen=True)
class EmbedShard:
    """The work on one shard: documents from the first number to before the second."""

    corpus: Path
    vectors: Path
    model: ModelSpec
    dtype: str
    max_tokens: int | None
    workers: int

    def __call__(self, shard: tuple[int, int], _folder: Path) -> dict[str, int]:
        start, stop = shard
        corpus, tokenizer = _opened(self.corpus)
        embedder = load_embedder(self.model, threads_of_worker(self.workers))
        lengths = np.minimum(corpus.lengths[start:stop] - 1, self.max_tokens or np.iinfo(np.int32).max)
        vectors = np.empty((stop - start, embedder.dimensions), dtype=np.float32)
        cut = corpus.lengths[start:stop] - 1 > lengths
        batches = list(batches_of(lengths, embedder))
        texts = ([self._text(corpus, tokenizer, start + place) for place in batch] for batch in batches)
        for batch, (found, too_long) in zip(batches, _encoded(embedder, texts), strict=True):
            vectors[batch] = found
            cut[batch] |= too_long
        put_rows(self.vectors, start, stored(vectors, self.dtype), of=len(corpus))
        flush(self.vectors)
        return {"truncated": int(cut.sum()), "dimensions": embedder.dimensions}

    def _text(self, corpus: IndexedCorpus, tokenizer: Tokenizer, number: int) -> str:
        tokens = corpus.document(number)
        if len(tokens) and tokens[-1] == tokenizer.eos:
            tokens = tokens[:-1]
        return tokenizer.decode(tokens[: self.max_tokens].tolist())


def batches_of(lengths: np.ndarray, embedder: Embedder) -> Iterator[np.ndarray]:
    """Places of texts of about one length, longest first, in batches that the embedder takes."""
    order = np.argsort(-lengths, kind="stable")
    read = np.maximum(1, np.minimum(lengths, embedder.limit or np.iinfo(np.int32).max))
    start = 0
    while start < len(order):
        texts = int(min(embedder.most_texts, max(1, embedder.most_tokens // int(read[order[start]]))))
        yield order[start : start + texts]
        start += texts


def _encoded(embedder: Embedder, batches: Iterator[list[str]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if embedder.at_once == 1:
        yield from map(embedder.encode, batches)
        return
    threads = ThreadPoolExecutor(embedder.at_once)
    try:
        yield from threads.map(embedder.encode, batches)
    finally:
        threads.shutdown(cancel_futures=True)  # a server that is gone is not to be asked for every batch


@lru_cache(maxsize=1)
def _opened(folder: Path) -> tuple[IndexedCorpus, Tokenizer]:
    return IndexedCorpus(folder / CORPUS_PREFIX), Tokenizer.load(folder)
