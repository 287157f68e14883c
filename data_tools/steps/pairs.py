"""Neighbours -> pairs (d1, d2) of related documents that are not near-duplicates: an order over one corpus, no copy.

Source: SBP, nearest neighbour pairing: keep above a similarity; drop a pair if any 13-token shingle of d1, normalised,
stands in d2.

Two rounds of shards. First every document's text is normalised and tokenized again; then the candidates are sifted by
ranges of d1. Memory is that of the blocks in hand, whatever the number of documents and neighbours; the disk holds the
normalised tokens meanwhile, as much again as the corpus. Under a Slurm array the second round begins once all tasks
have done the first: submit the array again when it says that shards are left to others.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.arrays import npy_header
from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import Manifest, read_manifest, run_step, token_settings
from data_tools.errors import InputError
from data_tools.files import join_files
from data_tools.steps.candidates import CANDIDATES_AT_ONCE, ROW, Rules, all_counts
from data_tools.steps.materialize import materialize_pairs
from data_tools.steps.neighbors import IDS, SIMILARITIES
from data_tools.steps.normalised import FOLDER, normalise, open_normalised
from data_tools.text.tokenizer import Tokenizer
from data_tools.workers import HERE, Team, folders_of, ranges, run_shards

PAIRS = "pairs.npy"
ROWS = "rows.bin"
"""Of a shard: the rows of `pairs.npy`, without its header."""
MOST_CANDIDATES, LEAST_CANDIDATES, SHARDS_WANTED = 1 << 24, 1 << 14, 64
"""In a shard."""

Progress = Callable[[int, int], None]


def pairs(
    corpus: Path,
    neighbors: Path,
    output: Path,
    *,
    min_similarity: float = 0.75,
    shingle: int = 13,
    max_tokens: int = 8192,
    max_per_document: int | None = None,
    both_directions: bool = True,
    shingle_tokenizer: Path | None = None,
    materialize: bool = False,
    replace: bool = False,
    crew: Team = HERE,
    progress: Progress | None = None,
) -> Manifest:
    """Write the pairs.

    A candidate is dropped for the first of these reasons that holds, and counted there: it is the document itself, not
    similar enough, too long, kept in the other direction, a near-duplicate, over the cap.

    Args:
        corpus: folder written by `tokenize`.
        neighbors: folder written by `neighbors`, of the corpus's documents in their order.
        output: folder to make; `pairs.npy` holds d1 and d2 (document numbers in the corpus) and their similarity, in
            the order of d1, and for each nearest first.
        min_similarity: keep pairs above this cosine.
        shingle: drop pairs that share this many tokens of normalised text in a row.
        max_tokens: drop pairs longer than this as `d1 EOS d2 EOS`.
        max_per_document: keep so many d2 of each d1, the nearest.
        both_directions: keep (a, b) and (b, a) where both are candidates; else the one with the smaller number first.
        shingle_tokenizer: tokenizer of the normalised text; by default that of the corpus.
        materialize: write the pairs out too, as a corpus with a loss mask.
        replace: remove an output that other inputs or settings made.
        crew: who works.
        progress: called with (shards done, shards in all), in each of the two rounds.

    Raises:
        InputError: no pair is left, or corpus and neighbours don't belong together.
    """
    tokenizer = Tokenizer.load(shingle_tokenizer or corpus)
    rules = Rules(
        min_similarity=min_similarity, shingle=shingle, max_tokens=max_tokens, both_directions=both_directions,
        max_per_document=max_per_document,
    )  # fmt: skip

    def build(scratch: Path) -> dict[str, Any]:
        documents, k = require_belonging(corpus, neighbors)
        normalise(corpus, tokenizer.path, scratch, crew, progress)
        shards = _ranges(documents, k)
        counts = all_counts(run_shards(_Sift(corpus, neighbors, scratch, rules), shards, scratch, crew, progress))
        if not counts["pairs"]:
            raise InputError(
                where=str(neighbors), found=f"no pair among {counts['candidates']} candidates ({counts})",
                expected="at least one", fix="Lower min_similarity, raise max_tokens, or give more documents.",
            )  # fmt: skip
        rows = [folder / ROWS for folder in folders_of(scratch, shards)]
        join_files(rows, scratch / PAIRS, header=npy_header(ROW, (counts["pairs"],)))
        shutil.rmtree(scratch / FOLDER)
        written = materialize_pairs(corpus, np.load(scratch / PAIRS, mmap_mode="r"), scratch) if materialize else {}
        return {"documents": documents} | counts | written

    settings = {
        "min_similarity": min_similarity, "shingle": shingle, "max_tokens": max_tokens,
        "max_per_document": max_per_document, "both_directions": both_directions,
        "shingle_tokenizer": {"file": tokenizer.path.name, "hash": tokenizer.hash}, **_of_corpus(corpus, materialize),
    }  # fmt: skip
    return run_step(
        output, step="pairs", inputs={"corpus": corpus, "neighbors": neighbors}, settings=settings, build=build,
        replace=replace, task=crew.part,
    )  # fmt: skip


def _of_corpus(corpus: Path, materialize: bool) -> dict[str, Any]:
    """What the manifest of a folder says that is a corpus as well."""
    return token_settings(corpus) | {"materialize": True, "kind": "pair"} if materialize else {}


@dataclass(frozen=True)
class _Sift:
    """Write the pairs whose d1 is in a range of documents."""

    corpus: Path
    neighbors: Path
    scratch: Path
    rules: Rules

    def __call__(self, shard: tuple[int, int], folder: Path) -> dict[str, int]:
        lengths = IndexedCorpus(self.corpus / CORPUS_PREFIX).lengths
        ids, similarities = (np.load(self.neighbors / name, mmap_mode="r") for name in (IDS, SIMILARITIES))
        tokens = open_normalised(self.scratch, len(lengths))
        counts: Counter[str] = Counter()
        step = max(1, CANDIDATES_AT_ONCE // ids.shape[1])
        with (folder / ROWS).open("wb") as file:
            for start in range(shard[0], shard[1], step):
                stop = min(start + step, shard[1])
                _check_range(ids[start:stop], len(ids), where=self.neighbors / IDS, start=start)
                rows, dropped = self.rules.sift(start, stop, ids, similarities, lengths, tokens)
                file.write(rows.tobytes())
                counts.update(dropped)
        return dict(counts)


def _ranges(documents: int, k: int) -> list[tuple[int, int]]:
    """Documents whose candidates make a shard: by both sizes alone, so that anybody's shards are the same."""
    wanted = min(MOST_CANDIDATES, max(LEAST_CANDIDATES, documents * k // SHARDS_WANTED))
    size = max(1, wanted // k)
    return ranges(documents, size)


def require_belonging(corpus: Path, neighbors: Path) -> tuple[int, int]:
    """Number of documents and of neighbours of each, once corpus and neighbours are found to belong together.

    Raises:
        InputError: they don't.
    """
    documents = len(IndexedCorpus(corpus / CORPUS_PREFIX))
    ids, similarities = (np.load(neighbors / name, mmap_mode="r") for name in (IDS, SIMILARITIES))
    if ids.shape != similarities.shape or ids.ndim != 2 or len(ids) != documents or not ids.size:
        raise InputError(
            where=str(neighbors),
            found=f"ids of shape {ids.shape} and similarities of shape {similarities.shape}",
            expected=f"neighbours of the {documents} documents of {corpus}",
            fix="Name the neighbours that were found for this corpus.",
        )
    made_for, found = read_manifest(neighbors).settings.get("corpus"), read_manifest(corpus).fingerprint
    if made_for not in (None, found):
        raise InputError(
            where=str(neighbors), found=f"neighbours of a corpus with fingerprint {made_for}",
            expected=f"{found}, that of {corpus}", fix="Name the corpus that was embedded, or embed this one.",
        )  # fmt: skip
    return documents, ids.shape[1]


def _check_range(ids: np.ndarray, documents: int, *, where: Path, start: int) -> None:
    if ids.max() >= documents:
        row = start + int((ids >= documents).any(axis=1).argmax())
        raise InputError(
            where=f"{where}, row {row}", found=f"document {int(ids.max())}", expected=f"documents below {documents}",
            fix="The file is damaged: check it with `megatron-ext data verify`.",
        )  # fmt: skip
