"""The documents of a corpus that are nearest to a question, and as much of them as a prompt has room for.

Questions are embedded by what embedded the corpus, and compared with every vector: exact, in bounded memory, and for
a few thousand questions as fast as an index that would have to be built first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import hash_of_input, read_manifest
from data_tools.corpus.names import Names
from data_tools.errors import InputError
from data_tools.recall.scoring import normalise
from data_tools.steps.embedders import ModelSpec, load_embedder
from data_tools.steps.placement import threads_of_worker
from data_tools.steps.search import Effort, Exact, engine_for
from data_tools.steps.vectors import Vectors
from data_tools.synthesis.requests import Prompt
from data_tools.text.tokenizer import Tokenizer

BLOCK = 1 << 20
"""Vectors that are compared at a time: 1.6 GB of 384 dimensions."""
QUESTIONS_AT_ONCE = 64
BETWEEN_DOCUMENTS = "\n\n"


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Where documents are looked for, and how much of them is shown."""

    corpus: Path
    vectors: Path
    """Folder written by `embed`."""
    server: str | None = None
    """Address of the embedding server, where the vectors come from one."""
    top_k: int = 5
    """Documents for each question."""
    passage_tokens: int = 512
    """Of each document, from its beginning, in the corpus's own tokens."""

    def settings(self) -> dict[str, Any]:
        """What decides the documents, beside corpus and vectors."""
        return {"top_k": self.top_k, "passage_tokens": self.passage_tokens}


@dataclass(frozen=True)
class Passages:
    """What was found for one question, nearest first."""

    names: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]
    """Of each document, cut to `passage_tokens`."""
    similarities: tuple[float, ...]


def retrieve(questions: Sequence[str], retrieval: Retrieval) -> list[Passages]:
    """The nearest documents of each question.

    Raises:
        InputError: the vectors are another corpus's, or their embedder can't be loaded.
    """
    for name in ("top_k", "passage_tokens"):
        if getattr(retrieval, name) < 1:
            raise InputError(
                where=f"--{name.replace('_', '-')}", found=str(getattr(retrieval, name)), expected="at least 1",
                fix="Choose another number.",
            )  # fmt: skip
    _require_vectors_of(retrieval)
    corpus, names = IndexedCorpus(retrieval.corpus / CORPUS_PREFIX), Names(retrieval.corpus / CORPUS_PREFIX)
    vectors = Vectors(retrieval.vectors)
    ids, similarities = nearest(_embedded(questions, retrieval), vectors, min(retrieval.top_k, len(vectors)))
    return [
        Passages(
            tuple(names[number] for number in row.tolist()),
            tuple(tuple(corpus.document(number)[:-1][: retrieval.passage_tokens].tolist()) for number in row),
            tuple(near.tolist()),
        )
        for row, near in zip(ids, similarities, strict=True)
    ]  # fmt: skip


def nearest(queries: np.ndarray, vectors: Vectors, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and similarities of the k nearest vectors of each query, both (queries, k), nearest first."""
    engine_for("exact", len(vectors), len(vectors))
    threads = threads_of_worker(1)
    best = np.empty((len(queries), 0), dtype=np.int64), np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK):
        part = vectors.rows(start, min(start + BLOCK, len(vectors)))
        ids, near = Exact(Path(), part, threads).search(queries, min(k, len(part)), Effort(1.0, 1))
        ids, near = np.hstack([best[0], ids + start]), np.hstack([best[1], near])
        order = np.argsort(-near, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(ids, order, axis=1), np.take_along_axis(near, order, axis=1)
    return best


def fitted(
    passages: Passages,
    tokenizer: Tokenizer,
    fill: Callable[[str], Prompt],
    too_many: Callable[[Prompt], int],
) -> tuple[Prompt, str]:
    """The prompt with as much of the documents as there is room for, and that text; the farthest are cut first.

    Args:
        passages: what was found.
        tokenizer: of the corpus.
        fill: the prompt of a text of documents.
        too_many: tokens of a prompt that the model has no room for; 0 or less if it fits.
    """
    kept = sum(map(len, passages.tokens))
    while True:
        text = _joined(passages, tokenizer, kept)
        prompt = fill(text)
        over = too_many(prompt)
        if over <= 0 or not kept:
            return prompt, text
        kept = max(0, kept - over)  # the model's tokens may be longer than the corpus's: then once more


def stands_in(documents: str, answers: Sequence[str], rules: str) -> bool:
    """Whether a right answer stands in the documents word for word, after both are normalised."""
    words = f" {normalise(documents, rules)} "
    return any(f" {wanted} " in words for answer in answers if (wanted := normalise(answer, rules)))


def _joined(passages: Passages, tokenizer: Tokenizer, kept: int) -> str:
    texts = []
    for tokens in passages.tokens:
        if kept <= 0:
            break
        texts.append(tokenizer.decode(tokens[:kept]).strip())
        kept -= len(tokens)
    return BETWEEN_DOCUMENTS.join(texts)


def _require_vectors_of(retrieval: Retrieval) -> None:
    manifest = read_manifest(retrieval.vectors)
    if manifest.inputs.get("corpus") != hash_of_input(retrieval.corpus):
        raise InputError(
            where=f"--vectors {retrieval.vectors}", found=f"vectors of another corpus than {retrieval.corpus}",
            expected="those of its documents", fix="Name the folder that `data embed` made of it with --vectors.",
        )  # fmt: skip


def _embedded(questions: Sequence[str], retrieval: Retrieval) -> np.ndarray:
    made = read_manifest(retrieval.vectors).settings
    spec = ModelSpec(name=made["model"], engine=made["engine"], server=retrieval.server)
    spec.require()
    embedder = load_embedder(spec, threads_of_worker(1))
    parts = (questions[start : start + QUESTIONS_AT_ONCE] for start in range(0, len(questions), QUESTIONS_AT_ONCE))
    return np.concatenate([embedder.encode(list(part))[0] for part in parts])
