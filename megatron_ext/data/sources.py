"""The corpora of a run, opened: rows of tokens by their place. Needs no torch, so that plans are checked anywhere.

A *window* row is `sequence_length` tokens in a row of a corpus, every one of them trained. A *pair* row is some pairs
`d1 EOS d2 EOS`, packed, and a little padding; only each d2 and its EOS are trained, and pairs never see one another.
"""

from pathlib import Path

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import read_manifest
from data_tools.errors import InputError
from data_tools.files import require_file
from megatron_ext.config import RunConfig, SourceConfig
from megatron_ext.data.rows import Row, stretches
from megatron_ext.plan.extent import Extent
from megatron_ext.plan.packing import Packing
from megatron_ext.plan.permutation import Permutation
from megatron_ext.plan.samples import Sample

PAIRS_FILE = "pairs.npy"


class Windows:
    """Rows cut from a corpus, which is a ring."""

    def __init__(self, corpus: IndexedCorpus, *, sequence_length: int, across_documents: bool):
        self.corpus = corpus
        self.extent = Extent.of_windows(corpus.token_count, sequence_length)
        self._length = sequence_length
        self._across = across_documents
        self._all_trained = np.ones(sequence_length, dtype=np.float32)

    def row(self, sample: Sample) -> Row:
        tokens = self._tokens(sample.start, self._length + 1)
        if self._across:
            return Row(tokens[:-1], tokens[1:], self._all_trained)
        begins = np.array([place for _, place in self._documents(sample.start)])
        return Row(tokens[:-1], tokens[1:], self._all_trained, *stretches(begins, self._length))

    def documents(self, sample: Sample) -> list[int]:
        """Numbers of the documents that a row has tokens of, in its order."""
        return [number for number, _ in self._documents(sample.start)]

    def _tokens(self, start: int, wanted: int) -> np.ndarray:
        end = self.corpus.token_count
        if start + wanted <= end:
            return self.corpus.tokens(start, start + wanted).astype(np.int64)
        parts = []
        while wanted:  # round the end; a corpus smaller than a row is read round more than once
            part = self.corpus.tokens(start, min(start + wanted, end))
            parts.append(part)
            wanted -= len(part)
            start = (start + len(part)) % end
        return np.concatenate(parts).astype(np.int64)

    def _documents(self, start: int) -> list[tuple[int, int]]:
        """(number, position in the row at which it begins); the first one may have begun before the row."""
        width = self.corpus.dtype.itemsize
        number = int(np.searchsorted(self.corpus.offsets, start * width, side="right")) - 1
        begun = start - int(self.corpus.offsets[number]) // width
        found, place = [(number, 0)], int(self.corpus.lengths[number]) - begun
        while place < self._length:
            number = (number + 1) % len(self.corpus)
            length = int(self.corpus.lengths[number])
            if length:
                found.append((number, place))
            place += length
        return found


class Pairs:
    """Pairs of documents, packed. A pair of n tokens takes n - 1 positions: its last token is only ever a label.

    In every epoch the rows come in another order, and their places are given to other pairs of the same lengths.
    """

    def __init__(self, corpus: IndexedCorpus, folder: Path, *, sequence_length: int, key: tuple[str | int, ...]):
        self.corpus = corpus
        self.path = require_file(folder / PAIRS_FILE, fix="Make it with `megatron-ext data pairs`.")
        self._pairs = np.load(self.path, mmap_mode="r")
        self._length = sequence_length
        self._key = key
        needed = corpus.lengths[self._pairs["d1"]] + corpus.lengths[self._pairs["d2"]] - 1
        self._require_fitting(needed)
        histogram = np.bincount(needed, minlength=sequence_length + 1)
        counts = {int(size): int(histogram[size]) for size in np.flatnonzero(histogram)}
        self._packing = Packing.of(counts, sequence_length)
        self._count = counts
        self._first = np.concatenate([[0], np.cumsum(histogram)])
        """Length -> where its pairs begin in `_by_length`."""
        narrow = needed.astype(np.uint16) if sequence_length < 1 << 16 else needed  # numpy sorts these by radix
        self._by_length = np.argsort(narrow, kind="stable")
        self.extent = Extent(len(self._pairs), self._packing.rows, int(needed.sum()))

    def row(self, sample: Sample) -> Row:
        length = self._length
        tokens_S, labels_S = np.zeros(length, dtype=np.int64), np.zeros(length, dtype=np.int64)
        mask_S = np.zeros(length, dtype=np.float32)
        begins, place = [], 0
        for d1, d2 in self._members(sample):
            pair = np.concatenate([self.corpus.document(d1), self.corpus.document(d2)])
            end, opened = place + len(pair) - 1, place + int(self.corpus.lengths[d1]) - 1
            tokens_S[place:end], labels_S[place:end] = pair[:-1], pair[1:]
            mask_S[opened:end] = 1.0  # the EOS of d1 is trained to open d2, the last token of d2 to end it
            begins.append(place)
            place = end
        if place < length:
            begins.append(place)
        return Row(tokens_S, labels_S, mask_S, *stretches(np.array(begins), length))

    def documents(self, sample: Sample) -> list[int]:
        """Numbers of the documents of a row, d1 and d2 of each pair in turn."""
        return [number for pair in self._members(sample) for number in pair]

    def _members(self, sample: Sample) -> list[tuple[int, int]]:
        """(d1, d2) of every pair of a row."""
        members = []
        for length, number in self._packing.row(sample.start):
            shuffled = Permutation(self._count[length], (*self._key, sample.epoch, "pairs of length", length))
            pair = self._pairs[self._by_length[self._first[length] + shuffled.at(number)]]
            members.append((int(pair["d1"]), int(pair["d2"])))
        return members

    def _require_fitting(self, needed: np.ndarray) -> None:
        too_long = np.flatnonzero(needed > self._length)
        if len(too_long):
            raise InputError(
                where=f"{self.path}, pair {too_long[0]}",
                found=f"{needed[too_long[0]] + 1} tokens ({len(too_long)} such pairs)",
                expected=f"at most {self._length + 1} (sequence_length and a label)",
                fix="Write the pairs again with a smaller --max-tokens, or raise sequence_length.",
            )


Source = Windows | Pairs
"""One opened source of a mixture: `extent`, `row(sample)`, `documents(sample)`, `corpus`."""


def open_sources(config: RunConfig) -> dict[str, Source]:
    """All sources of a run, opened; errors name the missing file."""
    return {name: _open(source, name, config) for name, source in config.sources.items()}


def _open(source: SourceConfig, name: str, config: RunConfig) -> Source:
    corpus, length = IndexedCorpus(source.corpus / CORPUS_PREFIX), config.batch.sequence_length
    if source.pairs is not None:
        return Pairs(corpus, source.pairs, sequence_length=length, key=(config.seed, name))
    return Windows(corpus, sequence_length=length, across_documents=source.across_documents)


def corpus_vocabulary(folder: Path) -> int:
    """Entries of the vocabulary that a corpus was written with."""
    return int(read_manifest(folder).settings["vocabulary"])
