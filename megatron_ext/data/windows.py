"""A source of windows: rows of `sequence_length` tokens cut from a corpus, every one of them trained.

The corpus is a ring: a window that reaches its end goes on at its beginning. Where documents are isolated, a token
attends to its own document only, and positions count anew in each.
"""

from bisect import bisect_left, bisect_right
from dataclasses import replace

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from megatron_ext.config import SourceConfig
from megatron_ext.data.rows import Row, round_ring, row_of, stretches
from megatron_ext.plan.extent import Extent
from megatron_ext.plan.samples import Sample


class Windows:
    """One opened corpus."""

    def __init__(self, config: SourceConfig, *, sequence_length: int):
        self.config = config
        self.corpus = IndexedCorpus(config.corpus / CORPUS_PREFIX)
        self.corpora = [self.corpus]
        self.extent = Extent.of_windows(self.corpus.token_count, sequence_length)
        self._length = sequence_length
        self._isolated = not config.across_documents
        # Plain views of the same memory: a slice of a memmap takes several times as long.
        self._tokens = np.asarray(self.corpus.tokens(0, self.corpus.token_count))
        self._offsets = np.asarray(self.corpus.offsets)

    def row(self, sample: Sample) -> Row:
        """The tokens of a sample; the label of the last one stands a place beyond it."""
        wanted = self._length + 1
        tokens = self._tokens[sample.start : sample.start + wanted].astype(np.int64)
        if len(tokens) < wanted:
            parts = [self._tokens[first:stop] for first, stop, _ in round_ring(sample.start, wanted, self.extent.size)]
            tokens = np.concatenate(parts).astype(np.int64)
        row = row_of(tokens)
        if not self._isolated:
            return row
        positions_S, document_S = stretches(self._begins(sample.start), self._length)
        return replace(row, positions_S=positions_S, document_S=document_S)

    def documents(self, sample: Sample) -> list[int]:
        """Numbers of the documents that the input tokens of a sample are from, in their order."""
        width = self.corpus.dtype.itemsize
        numbers: list[int] = []
        for first, stop, _ in round_ring(sample.start, self._length, self.extent.size):
            low = bisect_right(self._offsets, first * width) - 1
            numbers += range(low, bisect_left(self._offsets, stop * width))
        return numbers

    def _begins(self, start: int) -> np.ndarray:
        """Places in the row at which its documents begin; the first of them may have begun before the row."""
        width = self.corpus.dtype.itemsize
        begins = [np.zeros(1, dtype=np.int64)]
        for first, stop, place in round_ring(start, self._length, self.extent.size):
            # Not np.searchsorted: the offsets are not aligned in their file, so it would copy all of them.
            low, high = (bisect_left(self._offsets, edge * width) for edge in (first, stop))
            begins.append(self._offsets[low:high] // width - first + place)
        return np.unique(np.concatenate(begins))
