"""What a corpus holds: documents, tokens, their lengths, kinds and sources. Memory is that of one block of documents.

Sources are what documents' names begin with, up to a slash: `linux-doc` of `linux-doc/admin-guide/cpu#2`.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.groups import KINDS, page_of, read_groups
from data_tools.corpus.indexed import CHUNK, CORPUS_PREFIX, IndexedCorpus, file_of
from data_tools.corpus.names import Names

LISTED = 20
"""Sources that are listed by name; the others are counted together."""
MOST_SOURCES = 100_000
"""That are told apart: of a corpus without slashes in its names each document is a source."""
OTHERS = "others"


@dataclass
class Sizes:
    """Documents and tokens of something."""

    documents: int = 0
    tokens: int = 0


@dataclass
class _Found:
    lengths: np.ndarray
    """Documents of each length."""
    kinds: dict[str, Sizes] = field(default_factory=dict)
    sources: dict[str, Sizes] = field(default_factory=dict)


def stats(folder: Path) -> dict[str, Any]:
    """Count a corpus.

    Args:
        folder: corpus folder.

    Returns:
        documents, tokens, dtype;
        tokens_per_document: least, p10, median, p90, most, mean; the end-of-document token is counted;
        lengths: [{"from", "to", "documents", "tokens"}], by powers of two from the shortest on, `to` included;
        kinds, sources: name -> {"documents", "tokens"}, largest first; missing where the corpus has no groups or names.

    Raises:
        InputError: there is no corpus, or it can't be read.
    """
    prefix = folder / CORPUS_PREFIX
    corpus = IndexedCorpus(prefix)
    found = _Found(np.zeros(int(_most(corpus.lengths)) + 1, dtype=np.int64))
    groups = read_groups(prefix) if file_of(prefix, ".groups.npy").is_file() else None
    names = Names(prefix) if file_of(prefix, ".names.npy").is_file() else None
    for start in range(0, len(corpus), CHUNK):
        lengths = corpus.lengths[start : start + CHUNK]
        found.lengths += np.bincount(lengths, minlength=len(found.lengths))
        if groups is not None:
            _add_kinds(found.kinds, groups["kind"][start : start + CHUNK], lengths)
        if names is not None:
            _add_sources(found.sources, names, start, lengths)
    shown: dict[str, Any] = {"documents": len(corpus), "tokens": corpus.token_count, "dtype": str(corpus.dtype)}
    shown["tokens_per_document"] = _quantiles(found.lengths)
    shown["lengths"] = _histogram(found.lengths)
    for name in ("kinds", "sources"):
        if sizes := getattr(found, name):
            shown[name] = _listed(sizes)
    return shown


def _most(lengths: np.ndarray) -> int:
    return max(int(lengths[start : start + CHUNK].max()) for start in range(0, len(lengths), CHUNK))


def _add_kinds(kinds: dict[str, Sizes], rows: np.ndarray, lengths: np.ndarray) -> None:
    documents, tokens = (np.bincount(rows, weights=weights) for weights in (None, lengths))
    by_number = {number: name for name, number in KINDS.items()}
    for number in np.flatnonzero(documents).tolist():
        sizes = kinds.setdefault(by_number.get(number, f"kind {number}"), Sizes())
        sizes.documents += int(documents[number])
        sizes.tokens += int(tokens[number])


def _add_sources(sources: dict[str, Sizes], names: Names, start: int, lengths: np.ndarray) -> None:
    documents, tokens = Counter[str](), Counter[str]()
    for number, length in enumerate(lengths.tolist(), start=start):
        source = page_of(names[number]).split("/", 1)[0]
        if source not in sources and source not in documents and len(sources) + len(documents) >= MOST_SOURCES:
            source = OTHERS
        documents[source] += 1
        tokens[source] += length
    for source, count in documents.items():
        sizes = sources.setdefault(source, Sizes())
        sizes.documents += count
        sizes.tokens += tokens[source]


def _quantiles(lengths: np.ndarray) -> dict[str, float]:
    """Of documents counted by length: each is the length of a document, or of the upper of the two in the middle."""
    ends = np.cumsum(lengths)
    count = int(ends[-1])
    places = {"least": 0, "p10": count // 10, "median": count // 2, "p90": count * 9 // 10, "most": count - 1}
    found = {name: int(np.searchsorted(ends, place, side="right")) for name, place in places.items()}
    return found | {"mean": float(np.arange(len(lengths)) @ lengths / count)}


def _histogram(lengths: np.ndarray) -> list[dict[str, int]]:
    rows, low = [], 1
    while low < len(lengths):
        here = lengths[low : 2 * low]
        tokens = int(here @ np.arange(low, low + len(here)))
        rows.append({"from": low, "to": 2 * low - 1, "documents": int(here.sum()), "tokens": tokens})
        low *= 2
    return list(dropwhile(lambda row: not row["documents"], rows))


def _listed(sizes: dict[str, Sizes]) -> dict[str, dict[str, int]]:
    """The largest by tokens, and the rest together."""
    ordered = sorted((name for name in sizes if name != OTHERS), key=lambda name: (-sizes[name].tokens, name))
    shown = {name: vars(sizes[name]) for name in ordered[:LISTED]}
    rest = [sizes[name] for name in ordered[LISTED:]] + [sizes[name] for name in sizes if name == OTHERS]
    if rest:
        shown[OTHERS] = {"documents": sum(s.documents for s in rest), "tokens": sum(s.tokens for s in rest)}
    return shown
