"""The rules over documents, as the work of one shard: what each found, counted, and each document it found by name.

    repetition           a run of 13 words stands in the document twice: the rule of synthesis's filter
    duplicate            it has a near-duplicate among the sample: see duplicates
    pair_copying_by_rule it is its source but for a few words: Jaccard similarity 0.8 of runs of five words
    mostly_copied        more than half of its runs of 13 words stand in its source
    heldout_overlap      13 words in a row of a held-out document; benchmark_overlap: of a benchmark's item
    self_bleu            of the documents of one source

Promises: a document is read once, for all rules; memory is that of one document and of the tables that it is looked up
in; any number of workers finds the same.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_tools.lines import lines_writer
from data_tools.permutation import Permutation
from data_tools.quality.documents import Documents, opened
from data_tools.quality.duplicates import Signed
from data_tools.quality.overlap import RUN, Index, described
from data_tools.quality.runs import WordHashes, jaccard, repeated_run, share_found
from data_tools.quality.self_bleu import self_bleu
from data_tools.text.shingles import normalised_words, repeats_a_shingle

Shard = tuple[Literal["documents"], tuple[int, int]] | tuple[Literal["groups"], tuple[tuple[int, ...], ...]]
"""A range of documents, or some groups of documents of one source."""

COPY_RUN, COPY = 5, 0.8
"""As `data dedup` calls documents near-duplicates."""
MOSTLY = 0.5
"""As synthesis's filter calls a document a copy."""

FLAGGED, OVERLAPS, LENGTHS, ITEMS_FOUND = "flagged.jsonl.zst", "overlaps.jsonl.zst", "words.npy", "items_found.npy"
SOURCES_KEPT = 64
"""Whose words are kept: the documents of a source come one after the other."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """work(shard, folder) for `run_shards`."""

    corpus: Path
    source: Path | None
    """What the corpus was made of."""
    items: Path | None
    """Folder of what may not be in it."""
    sampled: int
    """Documents among which near-duplicates are looked for."""
    seed: int

    def __call__(self, shard: Shard, folder: Path) -> dict[str, Any]:
        if shard[0] == "groups":
            documents = opened(self.corpus)
            scores = [self_bleu([normalised_words(documents.text(n)) for n in group]) for group in shard[1]]
            return {"self_bleu": [score for group in scores for score in group]}
        return self._documents(*shard[1], folder)

    def _documents(self, first: int, stop: int, folder: Path) -> dict[str, int]:
        documents, hashes, counts = opened(self.corpus), WordHashes(), Counter[str]()
        index = Index(self.items) if self.items else None
        order = Permutation(len(documents), ("near-duplicates", self.seed))
        lengths, items = np.zeros(stop - first, dtype=np.int32), set[int]()
        with ExitStack() as files:
            signed = files.enter_context(Signed(folder))
            flag, overlap = (files.enter_context(lines_writer(folder / name)) for name in (FLAGGED, OVERLAPS))
            for number in range(first, stop):
                text = documents.text(number)
                words = hashes.of(text)
                lengths[number - first] = len(words)
                found = dict(self._found(documents, number, text, words))
                if index and (shared := index.look_up(words)):
                    items |= shared.keys()
                    for row in described(index, shared, documents.name(number), text):
                        overlap(row)
                        found.setdefault(row["measure"], f"{row['item']}: {row['text']}")
                for measure, detail in found.items():
                    flag({"document": documents.name(number), "number": number, "measure": measure, "detail": detail})
                counts.update(found.keys())
                if order.inverse(number) < self.sampled:
                    signed.add(number, text)
        counts["documents"] = stop - first
        np.save(folder / LENGTHS, lengths)
        np.save(folder / ITEMS_FOUND, np.array(sorted(items), dtype=np.int64))
        return dict(counts)

    def _found(self, documents: Documents, number: int, text: str, words: np.ndarray) -> Iterator[tuple[str, str]]:
        """Measures that flag a document, each with what it saw."""
        place = repeated_run(words, RUN)
        plain = [] if place is None else normalised_words(text)
        if place is not None and repeats_a_shingle(plain, RUN):  # hashes propose, words decide
            yield "repetition", " ".join(plain[place : place + RUN])
        if self.source is not None and documents.sources is not None:
            source = _source_words(self.source, int(documents.sources[number]))
            if (similar := jaccard(words, source, COPY_RUN)) >= COPY:
                yield "pair_copying_by_rule", f"Jaccard similarity {similar:.2f}"
            if (share := share_found(words, source, RUN)) > MOSTLY:
                yield "mostly_copied", f"{share:.0%} of its runs of {RUN} words"


@lru_cache(maxsize=SOURCES_KEPT)
def _source_words(corpus: Path, number: int) -> np.ndarray:
    return WordHashes().of(opened(corpus).text(number))
