"""Contamination: which documents hold 13 words in a row of a held-out document or of a benchmark's item.

An item is a document of a held-out corpus, a line of a benchmark file, or a text file. Each string of a line counts by
itself (question, choices, answer), whatever its key; runs never cross from one into the next. An item without 13 words
in one string can't be found, and is counted as too short.

Runs are told by 64-bit hashes: 10^9 runs of a corpus looked up among 10^7 of items are all told right with a chance of
99.95 %.

Source: Brown et al. 2020, Language models are few-shot learners, appendix C (13-gram overlap).
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.errors import InputError
from data_tools.files import locked, require_file
from data_tools.lines import DECOMPRESSORS, read_lines, write_lines
from data_tools.quality.documents import opened
from data_tools.quality.runs import WordHashes, runs_of
from data_tools.text.shingles import normalised_words

RUN = 13
HELDOUT, BENCHMARK = "heldout_overlap", "benchmark_overlap"
MOST_ITEMS = 20
"""Of a document that are listed: a licence, say, may stand in every item."""

LONGEST_WAIT = 3600
"""Seconds for another process's index."""

ENTRIES_FOR_EACH = 8
LARGEST_TABLE = 1 << 27
HASHES, OWNERS, ITEMS = "hashes.npy", "owners.npy", "items.jsonl.zst"
TEXT = (".txt", ".md")


@dataclass(frozen=True, slots=True)
class Item:
    """What may not be trained on."""

    measure: str
    origin: str
    """The corpus or file it is of."""
    name: str
    strings: tuple[str, ...]


def items_of(heldout: Path | None, benchmarks: Sequence[Path]) -> Iterator[Item]:
    """All items, in order.

    Raises:
        InputError: a file can't be read, or holds no text.
    """
    if heldout is not None:
        documents = opened(heldout)
        for number in range(len(documents)):
            yield Item(HELDOUT, str(heldout), documents.name(number), (documents.text(number),))
    for path in benchmarks:
        found = False
        for name, strings in _benchmark(path):
            found = True
            yield Item(BENCHMARK, str(path), name, strings)
        if not found:
            raise InputError(
                where=str(path), found="no text", expected="JSON lines that hold strings, or a text",
                fix="Name the file that holds the benchmark's items.",
            )  # fmt: skip


def write_index(folder: Path, items: Iterator[Item]) -> None:
    """Write where each run of RUN words of items stands, sorted; done once, looked up by all workers.

    The first of several processes does it, the others wait.
    """
    with locked(folder, wait=LONGEST_WAIT):
        if not folder.exists():
            partial = folder.with_name(folder.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
            partial.mkdir()
            _fill_index(partial, items)
            partial.rename(folder)


def _fill_index(folder: Path, items: Iterator[Item]) -> None:
    hashes, owners, words_of = [np.empty(0, np.uint64)], [np.empty(0, np.int32)], WordHashes()

    def rows() -> Iterator[dict[str, Any]]:
        for number, item in enumerate(items):
            runs = np.unique(np.concatenate([runs_of(words_of.of(text), RUN) for text in item.strings]))
            hashes.append(runs)
            owners.append(np.full(len(runs), number, dtype=np.int32))
            yield {"measure": item.measure, "origin": item.origin, "name": item.name, "short": not len(runs)}

    write_lines(folder / ITEMS, rows())
    joined, owned = np.concatenate(hashes), np.concatenate(owners)
    order = np.argsort(joined, kind="stable")
    np.save(folder / HASHES, joined[order])
    np.save(folder / OWNERS, owned[order])


class Index:
    """Looks runs up."""

    def __init__(self, folder: Path):
        self._hashes, self._owners = (np.load(folder / name, mmap_mode="r") for name in (HASHES, OWNERS))
        self.items = list(read_lines(folder / ITEMS))
        # Most runs of a document are in no item, which a table says at once.
        bits = min(ENTRIES_FOR_EACH * max(1, len(self._hashes)), LARGEST_TABLE).bit_length()
        self._shift, self._table = np.uint64(64 - bits), np.zeros(1 << bits, dtype=bool)
        self._table[(self._hashes >> self._shift).astype(np.int64)] = True

    def look_up(self, words: np.ndarray) -> dict[int, list[int]]:
        """Items that a text of these words shares a run with: number -> places of the runs in the text, rising."""
        runs = runs_of(words, RUN)
        found = defaultdict[int, list[int]](list)
        for place in np.flatnonzero(self._table[(runs >> self._shift).astype(np.int64)]).tolist():
            first, stop = (int(np.searchsorted(self._hashes, runs[place], side)) for side in ("left", "right"))
            for owner in self._owners[first:stop].tolist():
                found[owner].append(place)
        return found


def described(index: Index, found: dict[int, list[int]], document: str, text: str) -> Iterator[dict[str, Any]]:
    """A line for each item of a document, those with the longest text in common first; at most MOST_ITEMS.

    Args:
        index: of the items.
        found: what `look_up` found in the document.
        document: its name.
        text: of the document.
    """
    words = normalised_words(text)
    stretches = {owner: _longest(places) for owner, places in found.items()}
    for owner in sorted(stretches, key=lambda owner: (stretches[owner][0] - stretches[owner][1], owner))[:MOST_ITEMS]:
        begin, end = stretches[owner]
        item = index.items[owner]
        yield {
            "document": document, "measure": item["measure"], "item": item["name"], "of": item["origin"],
            "runs": len(found[owner]), "words": end - begin, "text": " ".join(words[begin:end]),
        }  # fmt: skip


def counted(index: Index, found: Sequence[int]) -> dict[str, dict[str, int]]:
    """Of each file or corpus of items: how many there are, were found in the corpus, and are too short to be found."""
    origins: dict[str, dict[str, int]] = {}
    among = set(found)
    for number, item in enumerate(index.items):
        counts = origins.setdefault(item["origin"], {"items": 0, "found": 0, "too_short": 0})
        counts["items"] += 1
        counts["found"] += number in among
        counts["too_short"] += item["short"]
    return origins


def _longest(places: Sequence[int]) -> tuple[int, int]:
    """The longest stretch of words that runs at these places cover: first, and one past the last."""
    best = begin = previous = places[0]
    length = 0
    for place in places:
        if place != previous + 1:
            begin = place
        if place - begin > length:
            best, length = begin, place - begin
        previous = place
    return best, best + length + RUN


def _benchmark(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    require_file(path, fix="Name a file of JSON lines (.jsonl, also .gz and .zst) or of text (.txt, .md).")
    if path.suffix in TEXT:
        yield path.name, (path.read_text(encoding="utf-8", errors="replace"),)
        return
    if (path.with_suffix("") if path.suffix in DECOMPRESSORS else path).suffix != ".jsonl":
        raise InputError(
            where=str(path), found=f"a file that ends in {path.suffix or 'nothing'}",
            expected="JSON lines (.jsonl, .jsonl.gz, .jsonl.zst) or text (.txt, .md)",
            fix="Write one JSON object a line for each item.",
        )  # fmt: skip
    for number, row in enumerate(read_lines(path), start=1):
        if strings := tuple(_strings(row)):
            yield f"{path.name}:{number}", strings


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)
