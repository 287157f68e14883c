"""A corpus once more, as near-duplicates are told by: the token ids of every document's normalised text.

Written by many, in shards of documents; read by all, memory-mapped. No text and no hash is kept: hashing 65,000 tokens
anew costs less than reading their hashes from a disk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus, token_dtype
from data_tools.steps.encode import Choice, loaded
from data_tools.text.near_duplicates import share_a_shingle
from data_tools.text.shingles import normalised
from data_tools.workers import Team, folders_of, ranges, run_shards

TOKENS, STARTS = "tokens.npy", "starts.npy"
FOLDER = "normalised"

MOST_IN_A_SHARD, LEAST_IN_A_SHARD, SHARDS_WANTED = 1 << 14, 1 << 8, 64
"""Documents in a shard: few enough that many can work on a small corpus, enough that a large one has few shards."""

ENCODED_AT_ONCE = 256
"""Documents."""

COMPARED_AT_ONCE = 1 << 16
"""Tokens: few enough that what stands between, in 64 bits each, stays near the processor."""


def shard_size(documents: int) -> int:
    """Documents in each shard of a corpus; a function of their number alone, so that anybody's shards are the same."""
    return min(MOST_IN_A_SHARD, max(LEAST_IN_A_SHARD, -(-documents // SHARDS_WANTED)))


def shards_of(documents: int) -> list[tuple[int, int]]:
    """First document of each shard and the first after it."""
    return ranges(documents, shard_size(documents))


@dataclass(frozen=True)
class Normalise:
    """Write a shard's normalised tokens, joined, to `tokens.npy`; to `starts.npy` where each begins, and the end."""

    corpus: Path
    tokenizer: Path
    """Of the normalised text; the corpus has its own."""

    def __call__(self, shard: tuple[int, int], folder: Path) -> dict[str, int]:
        corpus = IndexedCorpus(self.corpus / CORPUS_PREFIX)
        reader, writer = (
            loaded(Choice.of(path, eos=None, backend="auto", threads=False)) for path in (self.corpus, self.tokenizer)
        )
        dtype, parts, lengths = token_dtype(writer.vocabulary), [], [0]
        for start in range(shard[0], shard[1], ENCODED_AT_ONCE):
            numbers = range(start, min(start + ENCODED_AT_ONCE, shard[1]))
            texts = [normalised(reader.decode(corpus.document(number)[:-1])) for number in numbers]
            ids, counts = writer.encode_joined(texts)
            parts.append(ids.astype(dtype))
            lengths += counts.tolist()
        np.save(folder / TOKENS, np.concatenate(parts))
        np.save(folder / STARTS, np.cumsum(lengths, dtype=np.int64))
        return {"tokens": sum(lengths)}


def normalise(
    corpus: Path, tokenizer: Path, scratch: Path, crew: Team, progress: Callable[[int, int], None] | None
) -> None:
    """Write the normalised tokens of a corpus under `scratch / FOLDER`, where they are not there yet."""
    shards = shards_of(len(IndexedCorpus(corpus / CORPUS_PREFIX)))
    run_shards(Normalise(corpus, tokenizer), shards, scratch / FOLDER, crew, progress, last=False)


def open_normalised(scratch: Path, documents: int) -> "NormalisedTokens":
    """What `normalise` has written for a corpus of so many documents."""
    folders = folders_of(scratch / FOLDER, shards_of(documents))
    return NormalisedTokens(folders, shard_size(documents))


LARGER_THAN_ANY_ARRAY = 128 * COMPARED_AT_ONCE
"""Bytes."""


class NormalisedTokens:
    """Token ids of documents by their number. Shards are opened when first asked for."""

    def __init__(self, folders: Sequence[Path], size: int):
        """
        Args:
            folders: of the shards.
            size: documents in each, but for the last.
        """
        self._folders, self._size = folders, size
        self._opened: dict[int, tuple[np.ndarray, memoryview]] = {}

    def __getitem__(self, number: int) -> np.ndarray:
        shard, place = number // self._size, number % self._size
        tokens, starts = self._opened.get(shard) or self._open(shard)
        return tokens[starts[place] : starts[place + 1]]

    def _open(self, shard: int) -> tuple[np.ndarray, memoryview]:
        tokens, starts = (np.load(self._folders[shard] / name, mmap_mode="r") for name in (TOKENS, STARTS))
        # A slice of a memmap costs ten times as much as one of an array; a memoryview gives Python's own integers.
        self._opened[shard] = tokens.view(np.ndarray), starts.data
        return self._opened[shard]

    def near_duplicates(self, d1: np.ndarray, d2: np.ndarray, size: int) -> np.ndarray:
        """Whether `size` tokens in a row of d1 also stand in d2, for each pair of numbers.

        Args:
            d1: shape (pairs,); equal ones stand together.
            d2: shape (pairs,).
            size: tokens of a shingle.
        """
        # malloc takes blocks up to the largest that it was given back from its own store: else every array here would
        # be new pages of the system, which costs more than filling it.
        np.empty(LARGER_THAN_ANY_ARRAY, dtype=np.uint8)
        found = np.zeros(len(d1), dtype=bool)
        run = np.cumsum(np.diff(d1, prepend=d1[:1]) != 0)  # equal where d1 is
        begin, seconds, tokens = 0, [], 0
        for stop, number in enumerate(d2.tolist(), start=1):
            seconds.append(self[number])
            tokens += len(seconds[-1])
            if tokens >= COMPARED_AT_ONCE or stop == len(d2):
                _, where = np.unique(run[begin:stop], return_index=True)
                firsts = [self[number] for number in d1[begin + where].tolist()]
                owners = run[begin:stop] - run[begin]
                found[begin:stop] = share_a_shingle(firsts, seconds, owners, size=size)
                begin, seconds, tokens = stop, [], 0
        return found
