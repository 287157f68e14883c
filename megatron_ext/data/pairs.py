"""A source of pairs: rows packed with `d1 EOS d2 EOS`, of which only d2 and its EOS are trained.

A pair of n tokens takes n - 1 positions: its last EOS is a label only. Pairs never see one another. Which lengths
stand together is settled once (plan/packing.py); which pair of a length fills a slot changes from epoch to epoch, and
each pair is read exactly once in each.
"""

from functools import cached_property
from pathlib import Path

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.errors import InputError
from data_tools.files import require_file
from data_tools.permutation import Permutation
from megatron_ext.config import SourceConfig
from megatron_ext.data.rows import Row, stretches
from megatron_ext.plan.extent import Extent
from megatron_ext.plan.packing import Packing
from megatron_ext.plan.samples import Sample

PAIRS_FILE = "pairs.npy"
CHUNK = 1 << 20
"""Pairs at a time when their lengths are looked up."""


class Pairs:
    """One opened corpus and the pairs of its documents.

    Raises:
        InputError: a file is missing, or a pair does not fit into a row or has no documents in the corpus.
    """

    def __init__(self, config: SourceConfig, *, name: str, seed: int, sequence_length: int):
        self.config = config
        self.corpus = IndexedCorpus(config.corpus / CORPUS_PREFIX)
        self.corpora = [self.corpus]
        self._name, self._seed, self._length = name, seed, sequence_length
        file = require_file(config.pairs / PAIRS_FILE, fix="Make it with `megatron-ext data pairs`.")
        self.pairs = np.load(file, mmap_mode="r")
        self._positions = _positions(self.pairs, self.corpus, sequence_length, file)
        counts = np.bincount(self._positions, minlength=1)
        self._histogram = {int(length): int(counts[length]) for length in np.flatnonzero(counts)}
        self._firsts = np.cumsum(counts) - counts
        self.packing = Packing.of(self._histogram, sequence_length)
        real = sum(length * count for length, count in self._histogram.items())
        self.extent = Extent(size=len(self.pairs), rows=self.packing.rows, tokens=real)

    def row(self, sample: Sample) -> Row:
        """The packed row of a sample; what no pair fills is padding, and masked."""
        tokens = np.zeros(self._length, dtype=np.int64)
        labels, mask = np.zeros_like(tokens), np.zeros(self._length, dtype=np.float32)
        begins, place = [], 0
        for pair in self._pairs_of(sample):
            d1, d2 = (self.corpus.document(int(self.pairs[pair][name])) for name in ("d1", "d2"))
            joined = np.concatenate([d1, d2])
            stop = place + len(joined) - 1
            tokens[place:stop], labels[place:stop] = joined[:-1], joined[1:]
            # The EOS of d1 is trained to open d2, the last token of d2 to end it.
            mask[place + len(d1) - 1 : stop] = 1.0
            begins.append(place)
            place = stop
        if place < self._length:
            begins.append(place)
        return Row(tokens, labels, mask, *stretches(np.array(begins), self._length))

    def documents(self, sample: Sample) -> list[int]:
        """Numbers of the documents in a sample: d1 and d2 of each pair, in their order."""
        return [int(self.pairs[pair][name]) for pair in self._pairs_of(sample) for name in ("d1", "d2")]

    def rows_of(self, pairs: np.ndarray, epoch: int) -> np.ndarray:
        """The packed row that each of some pairs fills a part of in an epoch, int64: from a pair to its sample."""
        lengths, rows = self._positions[pairs], np.empty(len(pairs), dtype=np.int64)
        for length in np.unique(lengths).tolist():
            here = lengths == length
            ranks = self._ranks[pairs[here]].astype(np.int64) - self._firsts[length]
            numbers = self._shuffle(length, epoch).inverses(ranks)
            firsts, in_a_row, first_rows = np.array(self.packing.slots_of[length]).T
            stretch = np.searchsorted(firsts, numbers, side="right") - 1
            rows[here] = first_rows[stretch] + (numbers - firsts[stretch]) // in_a_row[stretch]
        return rows

    def _pairs_of(self, sample: Sample) -> list[int]:
        """The pairs that fill a packed row in the sample's epoch."""
        found = []
        for length, number in self.packing.row(sample.start):
            place = self._shuffle(length, sample.epoch).at(number)
            found.append(int(self._by_length[self._firsts[length] + place]))
        return found

    def _shuffle(self, length: int, epoch: int) -> Permutation:
        """Which pair of a length fills which of its slots."""
        return Permutation(self._histogram[length], (self._seed, self._name, epoch, "pairs", length))

    @cached_property
    def _by_length(self) -> np.ndarray:
        """Pairs, shortest first; equal ones in the order of the file. Four bytes a pair."""
        return np.argsort(self._positions, kind="stable").astype(np.uint32)

    @cached_property
    def _ranks(self) -> np.ndarray:
        """The place of each pair among `_by_length`."""
        ranks = np.empty_like(self._by_length)
        ranks[self._by_length] = np.arange(len(ranks), dtype=np.uint32)
        return ranks


def _positions(pairs: np.ndarray, corpus: IndexedCorpus, most: int, file: Path) -> np.ndarray:
    """Positions that each pair takes, of at most so many in a row."""
    positions = np.empty(len(pairs), dtype=np.uint16 if most < 1 << 16 else np.uint32)
    for start in range(0, len(pairs), CHUNK):
        d1, d2 = (pairs[start : start + CHUNK][name] for name in ("d1", "d2"))
        strange = (np.minimum(d1, d2) < 0) | (np.maximum(d1, d2) >= len(corpus))
        if strange.any():
            raise InputError(
                where=f"{file}, pair {start + int(strange.argmax())}", found="a document that the corpus does not have",
                expected=f"documents 0 to {len(corpus) - 1} of {corpus.prefix}", fix="Name the corpus of these pairs.",
            )  # fmt: skip
        tokens = corpus.lengths[d1].astype(np.int64) + corpus.lengths[d2]
        if tokens.max() > most + 1:
            pair = int((tokens > most + 1).argmax())
            raise InputError(
                where=f"{file}, pair {start + pair}",
                found=f"{tokens[pair]} tokens",
                expected=f"at most {most + 1} (sequence_length and a label)",
                fix="Write the pairs again with a smaller --max-tokens, or raise sequence_length.",
            )
        positions[start : start + CHUNK] = tokens - 1
    return positions
