"""What is wrong with a corpus, and with which document first: index, tokens and sidecars, in bounded memory.

Everything is looked at in the order of the documents and in blocks of them, so the first bad one is found as soon as
it is reached.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_tools.corpus.groups import KINDS, ROW, read_groups
from data_tools.corpus.indexed import CHUNK, HEADER, IndexedCorpus, file_of
from data_tools.corpus.names import Names
from data_tools.errors import InputError

TOKENS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong."""

    path: Path
    found: str
    expected: str


def faults(prefix: Path, *, eos: int | None = None, vocabulary: int | None = None) -> Iterator[Fault]:
    """What is wrong: the first fault of the index, of the tokens, of the groups and of the names.

    Args:
        prefix: of the corpus.
        eos: token that every document ends with; None where it is not known.
        vocabulary: tokens are below it; None where it is not known.

    Raises:
        InputError: the corpus can't even be opened.
    """
    corpus = IndexedCorpus(prefix)
    wrong_index = _of_index(corpus)
    if wrong_index:
        yield wrong_index
    else:  # an index that is wrong says nothing of the tokens
        yield from filter(None, [_of_tokens(corpus, eos, vocabulary)])
    yield from filter(None, [_of_groups(prefix, len(corpus)), fault_of_names(prefix, len(corpus))])


def named(prefix: Path, number: int) -> str:
    """A document by its number and, where that can be read, its name."""
    try:
        return f"document {number} ({Names(prefix)[number]})"
    except (InputError, OSError, ValueError, IndexError):  # the names may be what is damaged
        return f"document {number}"


def _of_index(corpus: IndexedCorpus) -> Fault | None:
    index, count = file_of(corpus.prefix, ".idx"), len(corpus)
    for start in range(0, count, CHUNK):
        wrong = _out_of_place(corpus, start, min(start + CHUNK, count))
        if wrong.any():
            first = start + int(wrong.argmax())
            # A wrong length is told by one gap, a wrong place by two: before the document and behind it.
            first += first + 1 < count and bool(_out_of_place(corpus, first + 1, first + 2)[0])
            return Fault(index, f"{named(corpus.prefix, first)} out of place or of a wrong length", "no gap")
    boundaries = np.memmap(index, dtype=np.int64, mode="r", offset=HEADER.size + 12 * count, shape=(count + 1,))
    for start in range(0, count + 1, CHUNK):
        stop = min(start + CHUNK, count + 1)
        if not np.array_equal(boundaries[start:stop], np.arange(start, stop)):
            return Fault(index, f"wrong document boundaries from {start} on", "one sequence in each document")
    return None


def _out_of_place(corpus: IndexedCorpus, start: int, stop: int) -> np.ndarray:
    """Of some documents, whether each does not end where the next one begins."""
    sizes = corpus.lengths[start:stop].astype(np.int64) * corpus.dtype.itemsize
    begins = corpus.offsets[start : stop + 1]
    if stop == len(corpus):
        begins = np.append(begins, corpus.token_count * corpus.dtype.itemsize)
    wrong = (sizes <= 0) | (begins[:-1] + sizes != begins[1:])
    if start == 0:
        wrong[0] |= begins[0] != 0
    return wrong


def _of_tokens(corpus: IndexedCorpus, eos: int | None, vocabulary: int | None) -> Fault | None:
    for first, stop in blocks(corpus.lengths):
        ends = np.cumsum(corpus.lengths[first:stop], dtype=np.int64)
        begin = int(corpus.offsets[first]) // corpus.dtype.itemsize
        tokens = corpus.tokens(begin, begin + int(ends[-1]))
        bad = []
        if vocabulary is not None and (int(tokens.max()) >= vocabulary or int(tokens.min()) < 0):
            place = int(((tokens >= vocabulary) | (tokens < 0)).argmax())
            number = int(np.searchsorted(ends, place, side="right"))
            bad.append((number, f"with token {tokens[place]}", f"tokens below {vocabulary}"))
        if eos is not None and (tokens[ends - 1] != eos).any():
            number = int((tokens[ends - 1] != eos).argmax())
            bad.append((number, f"that ends with token {tokens[ends[number] - 1]}", f"the end-of-document token {eos}"))
        if bad:
            number, found, expected = min(bad)
            return Fault(file_of(corpus.prefix, ".bin"), f"{named(corpus.prefix, first + number)} {found}", expected)
    return None


def blocks(lengths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of documents of about TOKENS_AT_ONCE tokens, of at least one document."""
    first, count = 0, len(lengths)
    while first < count:
        ends = np.cumsum(lengths[first : first + CHUNK], dtype=np.int64)
        at = 0
        while at < len(ends):
            before = int(ends[at - 1]) if at else 0
            stop = max(at + 1, int(np.searchsorted(ends, before + TOKENS_AT_ONCE, side="right")))
            yield first + at, first + stop
            at = stop
        first += len(ends)


def _of_groups(prefix: Path, count: int) -> Fault | None:
    path = file_of(prefix, ".groups.npy")
    if not path.is_file():
        return None
    try:
        rows = read_groups(prefix)
    except ValueError as error:
        return Fault(path, f"no array ({error})", f"{count} rows")
    if rows.dtype != ROW or rows.shape != (count,):
        return Fault(path, f"an array of shape {rows.shape} and type {rows.dtype}", f"{count} rows of type {ROW}")
    for start in range(0, count, CHUNK):
        kinds = rows["kind"][start : start + CHUNK]
        if kinds.max() >= len(KINDS):
            bad = named(prefix, start + int((kinds >= len(KINDS)).argmax()))
            return Fault(path, f"{bad} of kind {kinds.max()}", f"kinds below {len(KINDS)}")
    return None


def fault_of_names(prefix: Path, count: int) -> Fault | None:
    path, joined = file_of(prefix, ".names.npy"), file_of(prefix, ".names.bin")
    if not path.is_file():
        return None
    try:
        starts = np.load(path, mmap_mode="r")
    except ValueError as error:
        return Fault(path, f"no array ({error})", f"{count} names")
    if starts.shape != (count + 1,) or starts.dtype != np.int64:
        return Fault(path, f"{len(starts) - 1} names", f"{count}, one a document")
    size = joined.stat().st_size if joined.is_file() else -1
    for start in range(0, count, CHUNK):
        steps = np.diff(starts[start : start + CHUNK + 1])
        if (steps < 0).any() or (start == 0 and starts[0] != 0):
            bad = start + int((steps < 0).argmax())
            return Fault(path, f"the name of document {bad} at a wrong place", "names end to end")
    if size != starts[-1]:
        return Fault(joined, f"{size} bytes", f"{int(starts[-1])} bytes of names")
    return None
