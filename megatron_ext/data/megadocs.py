"""A source of megadocs: rows of `sequence_length` tokens cut from a view, every one of them trained.

A view is read as if it were one corpus, from its parts, where they lie. It is a ring: a window that reaches its end
goes on at its beginning, and a megadoc that is longer than a window goes on in the next one. Members of a megadoc see
one another; megadocs see those before them in the row if `across_documents` says so.
"""

from dataclasses import replace

import numpy as np

from data_tools.corpus.manifest import read_manifest
from data_tools.corpus.views import REAL, Arrange, View
from data_tools.errors import InputError
from data_tools.permutation import Permutation
from megatron_ext.config import SourceConfig
from megatron_ext.data.rows import Row, round_ring, row_of, stretches
from megatron_ext.plan.extent import Extent
from megatron_ext.plan.samples import Sample


class Megadocs:
    """One opened view.

    Raises:
        InputError: it isn't there, its corpora changed, or its members can't be permuted.
    """

    def __init__(self, config: SourceConfig, *, name: str, seed: int, sequence_length: int):
        self.config, self.view = config, View(config.corpus)
        self._name, self._seed, self._length = name, seed, sequence_length
        layout = read_manifest(config.corpus).settings.get("layout")
        if config.members == "permuted" and layout != "stitched":
            raise InputError(
                where=f"sources.{name}.members", found=f"permuted, of a view laid out as {layout}",
                expected="fixed: only stitched megadocs have members whose order is free",
                fix="Set `members: fixed`, or make the view with --layout stitched.",
            )  # fmt: skip
        self.extent = Extent.of_windows(self.view.size, sequence_length)
        self.corpora = self.view.corpora
        sizes = [len(corpus) for corpus in self.corpora]
        self._first_numbers = np.cumsum([0, *sizes[:-1]])

    def row(self, sample: Sample) -> Row:
        """The tokens of a sample; the label of the last one stands a place beyond it."""
        arrange = self.arranged(sample.epoch)
        parts = [
            self.view.tokens(first, stop, arrange)
            for first, stop, _ in round_ring(sample.start, self._length + 1, self.view.size)
        ]
        row = row_of(np.concatenate(parts).astype(np.int64))
        if self.config.across_documents:
            return row
        positions_S, document_S = stretches(self._begins(sample.start), self._length)
        return replace(row, positions_S=positions_S, document_S=document_S)

    def documents(self, sample: Sample) -> list[int]:
        """Documents that the input tokens of a sample are from, in their order, numbered through all corpora."""
        arrange = self.arranged(sample.epoch)
        return [
            int(self._first_numbers[member["corpus"]] + member["document"])
            for first, stop, _ in round_ring(sample.start, self._length, self.view.size)
            for member, _, _ in self.view.stretches(first, stop, arrange)
        ]

    def arranged(self, epoch: int) -> Arrange | None:
        """What puts the synthetic members of a megadoc in this epoch's order; the real one keeps its place."""
        if self.config.members == "fixed":
            return None

        def arrange(group: int, members: np.ndarray) -> np.ndarray:
            free = np.flatnonzero(members["corpus"] != REAL)
            if len(free) < 2:
                return members
            shuffle = Permutation(len(free), (self._seed, self._name, epoch, "members", group))
            arranged = members.copy()
            arranged[free] = members[free[[shuffle.at(place) for place in range(len(free))]]]
            return arranged

        return arrange

    def _begins(self, start: int) -> np.ndarray:
        """Places in the row at which its megadocs begin; the first of them may have begun before the row."""
        begins = [np.zeros(1, dtype=np.int64)]
        for first, stop, place in round_ring(start, self._length, self.view.size):
            begins.append(self.view.begins(first, stop) - first + place)
        return np.unique(np.concatenate(begins))
