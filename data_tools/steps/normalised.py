"""A corpus once more, as near-duplicates are told by: the token ids of every document's normalised text.

Written by many, in shards of documents; read by all, memory-mapped. No text and no hash is kept: hashing 65,000 tokens
anew costs less than reading their hashes from a disk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus, token_dtype
from data_tools.files import SHARDS
from data_tools.text.near_duplicates import share_a_shingle
from data_tools.text.shingles import normalised
from data_tools.text.tokenizer import Tokenizer
from data_tools.workers import Team, folder_of, run_shards

TOKENS, ENDS = "tokens.npy", "ends.npy"
FOLDER = "normalised"

MOST_IN_A_SHARD, LEAST_IN_A_SHARD, SHARDS_WANTED = 1 << 14, 1 << 8, 64
"""Documents in a shard: few enough that many can work on a small corpus, enough that a large one has few shards."""

ENCODED_AT_ONCE = 256
"""Documents."""

COMPARED_AT_ONCE = 1 << 16
"""Tokens: what stands between, in 64 bits each, stays in the processor's cache."""


def shard_size(documents: int) -> int:
    """Documents in each shard of a corpus; a function of their number alone, so that anybody's shards are the same."""
    return min(MOST_IN_A_SHARD, max(LEAST_IN_A_SHARD, -(-documents // SHARDS_WANTED)))


def shards_of(documents: int) -> list[tuple[int, int]]:
    """First document of each shard and the first after it."""
    size = shard_size(documents)
    return [(start, min(start + size, documents)) for start in range(0, documents, size)]


@dataclass(frozen=True)
class Normalise:
    """Write the normalised tokens of a shard of documents: `tokens.npy`, and in `ends.npy` where each document ends."""

    corpus: Path
    tokenizer: Path
    """Of the normalised text; the corpus has its own."""

    def __call__(self, shard: tuple[int, int], folder: Path) -> dict[str, int]:
        corpus, reader = IndexedCorpus(self.corpus / CORPUS_PREFIX), Tokenizer.load(self.corpus)
        writer = Tokenizer.load(self.tokenizer)
        dtype, parts, lengths = token_dtype(writer.vocabulary), [], []
        for start in range(shard[0], shard[1], ENCODED_AT_ONCE):
            numbers = range(start, min(start + ENCODED_AT_ONCE, shard[1]))
            texts = [normalised(reader.decode(corpus.document(number)[:-1])) for number in numbers]
            encoded = [np.array(ids, dtype=dtype) for ids in writer.encode(texts)]
            parts.append(np.concatenate(encoded))
            lengths += [len(ids) for ids in encoded]
        np.save(folder / TOKENS, np.concatenate(parts))
        np.save(folder / ENDS, np.cumsum(lengths, dtype=np.int64))
        return {"tokens": sum(lengths)}


def normalise(
    corpus: Path, tokenizer: Path, scratch: Path, crew: Team, progress: Callable[[int, int], None] | None
) -> None:
    """Write the normalised tokens of a corpus under `scratch`, where they are not there yet."""
    shards = shards_of(len(IndexedCorpus(corpus / CORPUS_PREFIX)))
    run_shards(Normalise(corpus, tokenizer), shards, scratch / SHARDS / FOLDER, crew, progress, last=False)


def open_normalised(scratch: Path, documents: int) -> "NormalisedTokens":
    """What `normalise` has written for a corpus of so many documents."""
    folders = [folder_of(scratch / SHARDS / FOLDER, number) for number in range(len(shards_of(documents)))]
    return NormalisedTokens(folders, shard_size(documents))


class NormalisedTokens:
    """Token ids of documents by their number. Shards are opened when first asked for."""

    def __init__(self, folders: Sequence[Path], size: int):
        """
        Args:
            folders: of the shards.
            size: documents in each, but for the last.
        """
        self._folders, self._size = folders, size
        self._opened: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __getitem__(self, number: int) -> np.ndarray:
        shard, place = divmod(number, self._size)
        if shard not in self._opened:
            loaded = (np.load(self._folders[shard] / name, mmap_mode="r") for name in (TOKENS, ENDS))
            # As plain arrays: a slice of a memmap costs ten times as much.
            self._opened[shard] = tuple(array.view(np.ndarray) for array in loaded)
        tokens, ends = self._opened[shard]
        return tokens[(ends[place - 1] if place else 0) : ends[place]]

    def near_duplicates(self, d1: np.ndarray, d2: np.ndarray, size: int) -> np.ndarray:
        """Whether `size` tokens in a row of d1 also stand in d2, for each pair of numbers.

        Args:
            d1: shape (pairs,); equal ones stand together.
            d2: shape (pairs,).
            size: tokens of a shingle.
        """
        found = np.zeros(len(d1), dtype=bool)
        firsts, seconds, owners, tokens, begin, last = [], [], [], 0, 0, None
        for place, (first, second) in enumerate(zip(d1.tolist(), d2.tolist(), strict=True)):
            if first != last:
                firsts.append(self[first])
                tokens, last = tokens + len(firsts[-1]), first
            seconds.append(self[second])
            owners.append(len(firsts) - 1)
            tokens += len(seconds[-1])
            if tokens >= COMPARED_AT_ONCE or place == len(d1) - 1:
                found[begin : place + 1] = share_a_shingle(firsts, seconds, np.array(owners), size=size)
                firsts, seconds, owners, tokens, begin, last = [], [], [], 0, place + 1, None
        return found
