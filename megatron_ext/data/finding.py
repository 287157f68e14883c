"""Where documents are read in a run: from documents of a source's corpora to the samples that show them.

A document is shown by the sample whose inputs hold its middle token: once in each reading, over however many windows it
is cut. Of a pair only d2 is shown, for d1 is not trained. A fact is a place in a document, and because cuts move from
epoch to epoch, the middle is read as any other place is. Files are gone through a block at a time, so memory is that of
the documents asked for.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_tools.corpus.indexed import CHUNK, IndexedCorpus
from data_tools.corpus.views import SETTINGS, View
from megatron_ext.data.megadocs import Megadocs
from megatron_ext.data.pairs import Pairs
from megatron_ext.data.sources import Source
from megatron_ext.plan.inverse import InversePlan


@dataclass(frozen=True)
class Places:
    """Where a source has the documents that were asked for: arrays of equal length."""

    corpus: np.ndarray
    """Which of the corpora of `corpora_of`."""
    item: np.ndarray
    """Which of the documents asked for of that corpus, counted from 0."""
    samples: Callable[[int], np.ndarray]
    """Epoch -> the sample that shows each, or NOWHERE."""


def corpora_of(source: Source) -> list[IndexedCorpus]:
    """The corpora whose documents a source reads; of a view that was written out as a corpus, those of the view."""
    view = _view_of(source)
    return source.corpora if view is None else view.corpora


def find(name: str, source: Source, wanted: Sequence[np.ndarray], inverse: InversePlan) -> Places:
    """Find documents in a source.

    Args:
        name: of the source in the run.
        source: opened.
        wanted: for each corpus of `corpora_of` the numbers of the documents, int64, rising.
        inverse: of the run's plan.
    """
    if isinstance(source, Pairs):
        return _in_pairs(name, source, wanted[0], inverse)
    view = _view_of(source)
    if view is None:
        return _in_windows(name, source.corpora[0], wanted[0], inverse)
    permuted = isinstance(source, Megadocs) and source.arranged(0) is not None
    return _in_view(name, view, wanted, inverse, source if permuted else None)


def matches(values: np.ndarray, rising: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(places of the values that are among the rising ones, and which of these each is)."""
    at = np.searchsorted(rising, values)
    found = np.flatnonzero(at < len(rising))
    found = found[rising[at[found]] == values[found]]
    return found, at[found]


def _view_of(source: Source) -> View | None:
    if isinstance(source, Megadocs):
        return source.view
    folder: Path = source.config.corpus
    return View(folder) if (folder / SETTINGS).is_file() else None


def _in_windows(name: str, corpus: IndexedCorpus, documents: np.ndarray, inverse: InversePlan) -> Places:
    tokens = corpus.offsets[documents] // corpus.dtype.itemsize + _middles(corpus, documents)
    return Places(
        np.zeros(len(documents), dtype=np.int64), np.arange(len(documents)),
        lambda epoch: inverse.samples_of_tokens(name, tokens, epoch),
    )  # fmt: skip


def _in_pairs(name: str, source: Pairs, documents: np.ndarray, inverse: InversePlan) -> Places:
    pairs, items = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, len(source.pairs), CHUNK):
        here, item = matches(source.pairs["d2"][start : start + CHUNK], documents)
        pairs.append(start + here)
        items.append(item)
    found = np.concatenate(pairs)
    return Places(
        np.zeros(len(found), dtype=np.int64), np.concatenate(items),
        lambda epoch: inverse.samples_of_rows(name, source.rows_of(found, epoch), epoch),
    )  # fmt: skip


def _in_view(
    name: str, view: View, wanted: Sequence[np.ndarray], inverse: InversePlan, permuted: Megadocs | None
) -> Places:
    parts = list(_shown_members(view, wanted))
    corpus, item, member, token = (np.concatenate(column) for column in zip(*parts, strict=True))

    def samples(epoch: int) -> np.ndarray:
        tokens = token if permuted is None else _rearranged(permuted, member, token, epoch)
        return inverse.samples_of_tokens(name, tokens, epoch)

    return Places(corpus, item, samples)


def _shown_members(view: View, wanted: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
    """(corpus, item, member, token of the stream) of the members that hold the middle of a wanted document."""
    middles = [_middles(corpus, documents) for corpus, documents in zip(view.corpora, wanted, strict=True)]
    position = 0
    for start in range(0, len(view.all_members), CHUNK):
        rows = view.all_members[start : start + CHUNK]
        lengths = rows["end"].astype(np.int64) - rows["begin"]
        begins = position + np.cumsum(lengths) - lengths
        position += int(lengths.sum())
        for corpus, documents in enumerate(wanted):
            of_corpus = np.flatnonzero(rows["corpus"] == corpus)
            here, item = matches(rows["document"][of_corpus], documents)
            here = of_corpus[here]
            middle = middles[corpus][item]
            holds = (rows["begin"][here] <= middle) & (middle < rows["end"][here])
            here, item, middle = here[holds], item[holds], middle[holds]
            yield np.full(len(here), corpus), item, start + here, begins[here] + middle - rows["begin"][here]


def _rearranged(source: Megadocs, members: np.ndarray, tokens: np.ndarray, epoch: int) -> np.ndarray:
    """Where the tokens of members stand in an epoch in which the members of a group have another order."""
    view, arrange = source.view, source.arranged(epoch)
    assert arrange is not None  # as `find` has seen
    moved = tokens.copy()
    groups, firsts = view.groups_of(members)
    order = np.argsort(groups, kind="stable")
    edges = np.flatnonzero(np.diff(groups[order], prepend=-1, append=-1))
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        mine = order[low:high]
        group = int(groups[mine[0]])
        before = view.members(group)
        moved[mine] += _shifts(before, arrange(group, before))[members[mine] - firsts[mine]]
    return moved


def _shifts(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How many tokens later each whole document of a group begins in another order of them."""
    begins = []
    for rows in (before, after):
        lengths = rows["end"].astype(np.int64) - rows["begin"]
        keyed = np.lexsort((rows["document"], rows["corpus"]))
        begins.append((np.cumsum(lengths) - lengths, keyed))
    (old, of_old), (new, of_new) = begins
    shifts = np.empty(len(before), dtype=np.int64)
    shifts[of_old] = new[of_new] - old[of_old]
    return shifts


def _middles(corpus: IndexedCorpus, documents: np.ndarray) -> np.ndarray:
    return corpus.lengths[documents].astype(np.int64) // 2
