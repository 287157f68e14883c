"""Documents -> indexed corpus: `.bin/.idx`, groups, names, manifest. Every document ends with its end token."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.groups import KINDS, write_groups
from data_tools.corpus.indexed import CORPUS_PREFIX, CorpusWriter, token_dtype
from data_tools.corpus.manifest import Manifest, run_step
from data_tools.errors import InputError
from data_tools.text.readers import Document, read_documents
from data_tools.text.tokenizer import Tokenizer

ENCODED_AT_ONCE = 256
"""Documents."""


def tokenize(
    documents: Sequence[Path],
    tokenizer: Path,
    output: Path,
    *,
    max_tokens: int = 4096,
    kind: str = "real",
    replace: bool = False,
) -> Manifest:
    """Write an indexed corpus.

    Args:
        documents: files of documents.
        tokenizer: tokenizer folder.
        output: corpus folder to make.
        max_tokens: longer documents (end-of-document token not counted) are dropped and counted.
        kind: what the documents are, one of `groups.KINDS`.
        replace: remove an output that other inputs or settings made.

    Raises:
        InputError: an input can't be read, `kind` is unknown, or no document is left.
    """

    def build(scratch: Path) -> dict[str, Any]:
        ids: list[str] = []
        counts: Counter[str] = Counter(words=0, dropped_too_long=0)
        with CorpusWriter(scratch / CORPUS_PREFIX, token_dtype(loaded.vocabulary)) as writer:
            for batch in _batched(documents):
                encoded = loaded.encode([document.text for document in batch])
                for document, tokens in zip(batch, encoded, strict=True):
                    if len(tokens) > max_tokens:
                        counts["dropped_too_long"] += 1
                        continue
                    writer.add(np.array([*tokens, loaded.eos]))
                    ids.append(document.id)
                    counts["words"] += len(document.text.split())
        if not ids:
            raise InputError(
                where=", ".join(map(str, documents)), found="no document that can be kept", expected="at least one",
                fix="Name files with documents, or raise the limit on their length.",
            )  # fmt: skip
        pages = write_groups(scratch / CORPUS_PREFIX, ids, kind=kind)
        return {"documents": writer.documents, "pages": pages, "tokens": writer.tokens} | dict(counts)

    if kind not in KINDS:
        raise InputError(
            where="kind of the documents", found=f"'{kind}'", expected="one of " + ", ".join(KINDS),
            fix="Name one of these kinds.",
        )  # fmt: skip
    loaded = Tokenizer.load(tokenizer)
    settings = {
        "tokenizer": loaded.hash, "vocabulary": loaded.vocabulary, "eos": loaded.eos, "max_tokens": max_tokens,
        "kind": kind,
    }  # fmt: skip
    inputs = {str(number): path for number, path in enumerate(documents)}
    return run_step(output, step="tokenize", inputs=inputs, settings=settings, build=build, replace=replace)


def _batched(documents: Sequence[Path]) -> Iterator[list[Document]]:
    stream = read_documents(documents)
    while batch := list(islice(stream, ENCODED_AT_ONCE)):
        yield batch
