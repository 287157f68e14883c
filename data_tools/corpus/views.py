"""Views: documents of several corpora, or parts of them, in an order of their own, read as one stream of tokens.

A view holds no tokens. Its folder has

    members.npy  a row for each stretch: corpus u8, document i64, begin u32, end u32 (tokens of that document)
    groups.npy   the first member of each group, and one past the last of all, i64
    starts.npy   the token of the stream at which each group begins, and the number of all tokens, i64
    view.json    the corpora: where they are, and their fingerprints

A group is what belongs together: a megadoc, a chain of related documents. Promises: any stretch of the stream is read
without the rest; the same view over the same corpora is the same stream; corpora that changed are refused.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import read_manifest
from data_tools.errors import InputError
from data_tools.files import require_file, write_whole

MEMBER = np.dtype([("corpus", "u1"), ("document", "<i8"), ("begin", "<u4"), ("end", "<u4")])
REAL = 0
"""Number of the real corpus among those of a view; the others were made of it."""

MEMBERS, GROUPS, STARTS, SETTINGS = "members.npy", "groups.npy", "starts.npy", "view.json"

Arrange = Callable[[int, np.ndarray], np.ndarray]
"""arrange(group, members) -> the same members in the order in which they are read."""


class View:
    """A view, opened with its corpora."""

    def __init__(self, folder: Path):
        """Open it.

        Raises:
            InputError: it isn't there, or a corpus of it has moved or changed.
        """
        self.folder = folder
        path = require_file(folder / SETTINGS, fix="Name a folder that `megatron-ext data megadocs` wrote.")
        settings = json.loads(path.read_text())
        self.corpora = [_opened(folder, Path(entry["path"]), entry["fingerprint"]) for entry in settings["corpora"]]
        self._members = np.load(folder / MEMBERS, mmap_mode="r")
        self._groups = np.load(folder / GROUPS, mmap_mode="r")
        self._starts = np.load(folder / STARTS, mmap_mode="r")

    def __len__(self) -> int:
        """Groups."""
        return len(self._groups) - 1

    @property
    def size(self) -> int:
        """Tokens of the stream."""
        return int(self._starts[-1])

    @property
    def all_members(self) -> np.ndarray:
        """Rows of MEMBER of all groups, in the order of the stream, memory-mapped."""
        return self._members

    def members(self, group: int) -> np.ndarray:
        """Rows of MEMBER, in the order of the file."""
        return self._members[self._groups[group] : self._groups[group + 1]]

    def groups_of(self, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The group of each of some members, given by their places in the file, and the first member of that group."""
        groups = np.searchsorted(self._groups, members, side="right") - 1
        return groups, np.asarray(self._groups[groups])

    def span(self, group: int) -> tuple[int, int]:
        """First token of a group in the stream, and one past its last."""
        return int(self._starts[group]), int(self._starts[group + 1])

    def tokens(self, start: int, stop: int, arrange: Arrange | None = None) -> np.ndarray:
        """Token ids of a stretch of the stream, of the first corpus's type."""
        parts = [
            self.corpora[member["corpus"]].document(int(member["document"]))[begin:end]
            for member, begin, end in self.stretches(start, stop, arrange)
        ]
        return np.concatenate(parts) if parts else np.empty(0, self.corpora[0].dtype)

    def stretches(self, start: int, stop: int, arrange: Arrange | None = None) -> Iterator[tuple[np.void, int, int]]:
        """(member, first token of its document, one past the last) of what a stretch of the stream is made of."""
        for group in self._groups_in(start, stop):
            first, _ = self.span(group)
            members = self.members(group)
            members = members if arrange is None else arrange(group, members)
            lengths = members["end"].astype(np.int64) - members["begin"]
            ends = first + np.cumsum(lengths)
            low, high = np.searchsorted(ends, start, side="right"), np.searchsorted(ends - lengths, stop, side="left")
            for place in range(int(low), int(high)):
                member, end = members[place], int(ends[place])
                begin = end - int(lengths[place])
                at = int(member["begin"]) - begin
                yield member, max(start, begin) + at, min(stop, end) + at

    def begins(self, start: int, stop: int) -> np.ndarray:
        """Tokens of the stream in [start, stop) at which groups begin, int64."""
        low, high = np.searchsorted(self._starts[:-1], (start, stop))
        return np.asarray(self._starts[low:high])

    def _groups_in(self, start: int, stop: int) -> range:
        if not 0 <= start <= stop <= self.size:
            raise IndexError(f"tokens {start} to {stop} of a stream of {self.size}")
        low = int(np.searchsorted(self._starts, start, side="right")) - 1
        return range(low, int(np.searchsorted(self._starts, stop, side="left"))) if stop > start else range(0)


def write_view(folder: Path, members: np.ndarray, groups: np.ndarray, corpora: Sequence[Path]) -> np.ndarray:
    """Write the files of a view.

    Args:
        folder: it is written into.
        members: rows of MEMBER, in the order of the stream.
        groups: the first member of each group, and one past the last of all.
        corpora: folders that it is over; the number of a corpus is its place here.

    Returns:
        The token at which each group begins, and the number of all tokens, int64.
    """
    lengths = members["end"].astype(np.int64) - members["begin"]
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])[groups]
    for name, array in ((MEMBERS, members), (GROUPS, groups.astype(np.int64)), (STARTS, starts)):
        np.save(folder / name, array)
    entries = [{"path": str(path.absolute()), "fingerprint": read_manifest(path).fingerprint} for path in corpora]
    write_whole(folder / SETTINGS, json.dumps({"corpora": entries}, indent=1) + "\n")
    return starts


def _opened(folder: Path, corpus: Path, fingerprint: str) -> IndexedCorpus:
    if not corpus.is_dir() or read_manifest(corpus).fingerprint != fingerprint:
        raise InputError(
            where=str(folder / SETTINGS), found=f"a corpus {corpus} that is "
            + ("not the one that the view was made of" if corpus.is_dir() else "no longer there"),
            expected="all its corpora, where they were and as they were",
            fix="Make the view again with `megatron-ext data megadocs`: it takes no tokens, and little time.",
        )  # fmt: skip
    return IndexedCorpus(corpus / CORPUS_PREFIX)
