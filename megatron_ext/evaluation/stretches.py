"""A corpus cut into what is predicted in one row: windows that may overlap, over one stream or document by document.

Windows of W tokens begin every `stride` tokens. Every token is predicted once: by the first window that reaches it. So
behind the first window each has at least W - stride tokens before it, and with `stride` = W windows don't overlap.

As one stream, documents follow one another, and the stream's first token is not predicted. Document by document, each
begins anew behind the token that ends documents, and all of its tokens are predicted.
"""

from collections.abc import Iterator

import numpy as np

from data_tools.corpus.indexed import IndexedCorpus
from megatron_ext.knowledge.spans import Span

CHUNK_TOKENS = 1 << 22
"""Tokens that are measured together: 117 MB of rows on a rank that has them all to itself."""


def stretches(corpus: IndexedCorpus, *, window: int, stride: int, by_document: bool) -> Iterator[Span]:
    """Everything to be predicted of a corpus.

    Args:
        corpus: opened.
        window: tokens of a row.
        stride: tokens between the beginnings of windows, at most `window`.
        by_document: whether nothing of other documents stands before a token.
    """
    if not by_document:
        for start, stop, new in windows_of(corpus.token_count, window=window, stride=stride):
            yield Span(corpus.tokens(start, stop).astype(np.int64), new)
        return
    for number in range(len(corpus)):
        document = corpus.document(number)
        tokens = np.concatenate([document[-1:], document]).astype(np.int64)  # its last token is what ends documents
        for start, stop, new in windows_of(len(tokens), window=window, stride=stride):
            yield Span(tokens[start:stop], new)


def windows_of(count: int, *, window: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """(first token, token after the last, how many at its end are predicted) of each window over `count` tokens."""
    reached = 1
    for start in range(0, count, stride):
        if reached >= count:
            return
        stop = min(start + window + 1, count)
        yield start, stop, stop - reached
        reached = stop


def chunks(spans: Iterator[Span]) -> Iterator[list[Span]]:
    """The same spans in lists of about CHUNK_TOKENS tokens."""
    chunk: list[Span] = []
    size = 0
    for span in spans:
        chunk.append(span)
        size += span.places
        if size >= CHUNK_TOKENS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
