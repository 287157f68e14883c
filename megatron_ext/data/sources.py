"""The corpora of a run, opened: rows of tokens by their place. Needs no torch, so that plans are checked anywhere.

A *window* row is `sequence_length` tokens in a row of a corpus, every one of them trained. A *pair* row is
`d1 EOS d2 EOS` and padding; only d2 and its EOS are trained.
"""

from pathlib import Path

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import read_manifest
from data_tools.errors import InputError
from data_tools.files import require_file
from megatron_ext.config import RunConfig, SourceConfig

PAIRS_FILE = "pairs.npy"


class Source:
    """One opened source of a mixture: rows by their start."""

    def __init__(self, config: SourceConfig, *, sequence_length: int):
        self.config = config
        self.sequence_length = sequence_length
        self.corpus = IndexedCorpus(config.corpus / CORPUS_PREFIX)
        self.pairs = None
        if config.pairs is not None:
            listed = require_file(config.pairs / PAIRS_FILE, fix="Make it with `megatron-ext data pairs`.")
            self.pairs = np.load(listed, mmap_mode="r")

    @property
    def size(self) -> int:
        """Tokens of a source of windows, pairs of a source of pairs: the plan's unit."""
        return self.corpus.token_count if self.pairs is None else len(self.pairs)

    def row(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        """(tokens, loss mask), of sequence_length + 1 and sequence_length entries: the label is one ahead."""
        return self._window(start) if self.pairs is None else self._pair(start)

    def _window(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        wanted, end = self.sequence_length + 1, self.corpus.token_count
        parts, position = [], start
        while wanted:  # the corpus is a ring; one smaller than a row is read round more than once
            part = self.corpus.tokens(position, min(position + wanted, end))
            parts.append(part)
            wanted -= len(part)
            position = (position + len(part)) % end
        tokens = np.concatenate(parts).astype(np.int64)
        return tokens, np.ones(self.sequence_length, dtype=np.float32)

    def _pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        d1, d2 = (self.corpus.document(int(self.pairs[index][name])) for name in ("d1", "d2"))
        if len(d1) + len(d2) > self.sequence_length + 1:
            raise InputError(
                where=f"{self.config.pairs}/{PAIRS_FILE}, pair {index}",
                found=f"{len(d1) + len(d2)} tokens",
                expected=f"at most {self.sequence_length + 1} (sequence_length and a label)",
                fix="Write the pairs again with a smaller --max-tokens, or raise sequence_length.",
            )
        tokens = np.zeros(self.sequence_length + 1, dtype=np.int64)
        tokens[: len(d1)] = d1
        tokens[len(d1) : len(d1) + len(d2)] = d2
        mask = np.zeros(self.sequence_length, dtype=np.float32)
        # Position s is scored on s + 1: the EOS of d1 is trained to open d2, the last token of d2 to end it.
        mask[len(d1) - 1 : len(d1) + len(d2) - 1] = 1.0
        return tokens, mask


def open_sources(config: RunConfig) -> dict[str, Source]:
    """All sources of a run, opened; errors name the missing file."""
    length = config.batch.sequence_length
    return {name: Source(source, sequence_length=length) for name, source in config.sources.items()}


def corpus_vocabulary(folder: Path) -> int:
    """Entries of the vocabulary that a corpus was written with."""
    return int(read_manifest(folder).settings["vocabulary"])
