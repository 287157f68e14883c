"""A damaged corpus -> a new folder with what is left of it. The damaged one stays as it is.

Where documents end is taken from the index as far as it agrees with itself, and from there on from the tokens: a
document ends with the end-of-document token. A document that does not end so, or holds a token outside the vocabulary,
is left out, and a torn tail is cut. What was lost is counted in the manifest and listed in `lost.jsonl`. Tokens that
were changed into other tokens of the vocabulary can't be told from sound ones.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.faults import TOKENS_AT_ONCE, blocks, fault_of_names
from data_tools.corpus.groups import KINDS
from data_tools.corpus.indexed import CHUNK, CORPUS_PREFIX, HEADER, file_of, read_header, token_dtype, write_index
from data_tools.corpus.manifest import Manifest, read_manifest, run_step
from data_tools.corpus.names import NameFiles, Names, write_sidecars
from data_tools.errors import InputError
from data_tools.files import content_hash, require_file

LOST = "lost.jsonl"
LENGTHS = "corpus.lengths"
NO_END, OUT_OF_RANGE, CUT_OFF = "no_end", "out_of_range", "cut_off"
"""Why a document is lost: its last token ends none; a token is not in the vocabulary; some or all of it is missing."""
COUNTED = ("documents", "tokens", "lost_documents", "lost_tokens", "lost_no_end", "lost_out_of_range", "lost_cut_off")


def repair(
    folder: Path, output: Path, *, eos: int | None = None, vocabulary: int | None = None, replace: bool = False
) -> Manifest:
    """Write what is left of a corpus.

    Args:
        folder: the damaged corpus.
        output: folder to make: a corpus, and `lost.jsonl`.
        eos: token that ends a document; from the manifest where there is one.
        vocabulary: tokens are below it; from the manifest where there is one.
        replace: remove an output that other inputs or settings made.

    Raises:
        InputError: there are no tokens, it is not known what ends a document, or these are no tokens of such a corpus.
    """
    damaged = _Damaged.find(folder, eos=eos, vocabulary=vocabulary)

    def build(scratch: Path) -> dict[str, Any]:
        with (scratch / LOST).open("w") as lost, NameFiles(scratch) as names:
            counts = _Rescue(damaged, scratch, lost, names).run()
        if counts["documents"] <= counts["found"] // 2:
            raise InputError(
                where=str(file_of(damaged.prefix, ".bin")),
                found=f"{counts['found']} documents, of which {counts['documents']} end with token {damaged.eos} and"
                f" keep below {damaged.vocabulary}",
                expected="tokens of this corpus",
                fix="The file is of something else, or --eos and --vocabulary are wrong.",
            )
        write_index(scratch / CORPUS_PREFIX, damaged.dtype, scratch / LENGTHS)
        (scratch / LENGTHS).unlink()
        write_sidecars(
            scratch / CORPUS_PREFIX, scratch, kind=damaged.kind, generator=int("generator" in damaged.settings)
        )
        return counts | {"files_left_out": _copy_others(damaged, scratch)}

    inputs = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    settings = damaged.settings | {"eos": damaged.eos, "vocabulary": damaged.vocabulary, "kind": damaged.kind}
    return run_step(output, step="repair", inputs=inputs, settings=settings, build=build, replace=replace)


@dataclass(frozen=True)
class _Damaged:
    """What can still be told of a corpus."""

    prefix: Path
    eos: int
    vocabulary: int | None
    dtype: np.dtype
    settings: dict[str, Any]
    outputs: dict[str, str]
    expected_tokens: int | None
    """As its manifest says."""

    @classmethod
    def find(cls, folder: Path, *, eos: int | None, vocabulary: int | None) -> "_Damaged":
        prefix = folder / CORPUS_PREFIX
        require_file(file_of(prefix, ".bin"), fix="Name the folder of a corpus; without its tokens none can be made.")
        try:
            manifest = read_manifest(folder)
            settings, outputs, counts = manifest.settings, manifest.outputs, manifest.counts
        except InputError:
            settings, outputs, counts = {}, {}, {}
        eos = settings.get("eos") if eos is None else eos
        vocabulary = settings.get("vocabulary") if vocabulary is None else vocabulary
        dtype = token_dtype(vocabulary) if vocabulary else _dtype_of_index(prefix)
        if eos is None or dtype is None:
            raise InputError(
                where=str(folder), found="no manifest that says which token ends a document, and how large they are",
                expected="the ids of its tokenizer", fix="Give --eos and --vocabulary.",
            )  # fmt: skip
        return cls(prefix, eos, vocabulary, dtype, settings, outputs, counts.get("tokens"))

    @property
    def kind(self) -> str:
        kind = self.settings.get("kind")
        return kind if kind in KINDS else "real"

    def tokens(self) -> tuple[np.ndarray, int]:
        """All whole tokens, memory-mapped, and the bytes that are left over."""
        path = file_of(self.prefix, ".bin")
        count, odd = divmod(path.stat().st_size, self.dtype.itemsize)
        return (np.memmap(path, dtype=self.dtype, mode="r", shape=(count,)) if count else np.empty(0, self.dtype)), odd

    def indexed(self, tokens: np.ndarray) -> np.ndarray:
        """Lengths of the first documents, as far as the index agrees with itself and with the number of tokens."""
        index = file_of(self.prefix, ".idx")
        none = np.empty(0, dtype=np.int32)
        try:
            dtype, count = read_header(index)
        except (InputError, OSError):
            return none
        if dtype != self.dtype or not count:
            return none
        lengths = np.memmap(index, dtype=np.int32, mode="r", offset=HEADER.size, shape=(count,))
        offsets = np.memmap(index, dtype=np.int64, mode="r", offset=HEADER.size + 4 * count, shape=(count,))
        end, ending = 0, 0
        for start in range(0, count, CHUNK):
            part = lengths[start : start + CHUNK].astype(np.int64)
            ends = end + np.cumsum(part)
            right = (part > 0) & (offsets[start : start + CHUNK] == (ends - part) * dtype.itemsize)
            right &= ends <= len(tokens)
            behind = offsets[start + 1 : start + CHUNK + 1]
            right[: len(behind)] &= behind == ends[: len(behind)] * dtype.itemsize
            sound = len(right) if right.all() else int(right.argmin())
            ending += int((tokens[ends[:sound] - 1] == self.eos).sum())
            if sound < len(right):
                count = start + sound
                break
            end = int(ends[-1])
        return lengths[:count] if 2 * ending > count else none  # an index of other tokens, if few documents end there

    def names(self) -> Names | None:
        try:
            names = Names(self.prefix)
            return None if fault_of_names(self.prefix, len(names)) else names
        except (OSError, ValueError, TypeError):
            return None


class _Rescue:
    """Writes tokens, lengths, names and the list of what is lost, block by block."""

    def __init__(self, damaged: _Damaged, scratch: Path, lost: Any, names: NameFiles):
        self.damaged, self.lost, self.names = damaged, lost, names
        self.scratch = scratch
        self.old_names = damaged.names()
        self.named = 0
        self.counts: Counter[str] = Counter()

    def run(self) -> dict[str, int]:
        tokens, odd = self.damaged.tokens()
        lengths = self.damaged.indexed(tokens)
        by_index = int(np.sum(lengths, dtype=np.int64))
        rebuilt = sum(len(ends) for _, ends in _ended(tokens, by_index, self.damaged.eos))
        self.named = self._named(len(lengths), rebuilt, is_cut=len(tokens) < (self.damaged.expected_tokens or 0))
        number, end = 0, 0
        new = file_of(self.scratch / CORPUS_PREFIX, ".bin")
        with new.open("wb") as out, (self.scratch / LENGTHS).open("wb") as sizes:
            for begin, part in _parts(tokens, lengths, self.damaged.eos):
                sound = self._sound(tokens[begin : begin + int(part.sum())], part, number)
                out.write(tokens[begin : begin + int(part.sum())][np.repeat(sound, part)])
                sizes.write(part[sound].astype(np.int32))
                self.names.add([self._name(int(at)) or f"document-{at}" for at in np.flatnonzero(sound) + number])
                self.counts.update(documents=int(sound.sum()), tokens=int(part[sound].sum()))
                number, end = number + len(part), begin + int(part.sum())
        if end < len(tokens):
            self._lose(number, len(tokens) - end, CUT_OFF)
        for missing in range(number + (end < len(tokens)), self.named):
            self._lose(missing, None, CUT_OFF)
        made_up = max(0, number - self.named)
        found = {"found": number, "found_by_index": len(lengths), "found_by_tokens": rebuilt, "cut_bytes": odd}
        return {name: self.counts[name] for name in COUNTED} | found | {"without_name": made_up}

    def _named(self, by_index: int, by_tokens: int, *, is_cut: bool) -> int:
        """Documents that have their old names. Beyond the index only if none was merged with the next one, or split."""
        known = len(self.old_names) if self.old_names else 0
        found = by_index + by_tokens
        if not by_tokens or found == known or (is_cut and found < known):
            return known
        return min(known, by_index)

    def _sound(self, tokens: np.ndarray, lengths: np.ndarray, number: int) -> np.ndarray:
        """Which of some documents can be kept; the others are put down as lost."""
        ends = np.cumsum(lengths)
        reasons = {NO_END: tokens[ends - 1] != self.damaged.eos, OUT_OF_RANGE: np.zeros(len(lengths), dtype=bool)}
        if self.damaged.vocabulary is not None:
            strange = np.flatnonzero((tokens >= self.damaged.vocabulary) | (tokens < 0))
            reasons[OUT_OF_RANGE][np.searchsorted(ends, strange, side="right")] = True
        sound = np.ones(len(lengths), dtype=bool)
        for reason, holds in reasons.items():
            for at in np.flatnonzero(holds & sound).tolist():
                self._lose(number + at, int(lengths[at]), reason)
            sound &= ~holds
        return sound

    def _name(self, number: int) -> str | None:
        try:
            return self.old_names[number] if self.old_names and number < self.named else None
        except InputError:  # changed into what is no UTF-8
            return None

    def _lose(self, number: int, tokens: int | None, reason: str) -> None:
        line = {"document": number, "name": self._name(number), "tokens": tokens, "reason": reason}
        self.lost.write(json.dumps(line) + "\n")
        self.counts.update({"lost_documents": 1, "lost_tokens": tokens or 0, f"lost_{reason}": 1})


def _parts(tokens: np.ndarray, lengths: np.ndarray, eos: int) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of documents: where they begin, and their lengths; by the index first, then by their ends."""
    begin = 0
    for first, stop in blocks(lengths):
        part = lengths[first:stop].astype(np.int64)
        yield begin, part
        begin += int(part.sum())
    yield from _ended(tokens, begin, eos)


def _ended(tokens: np.ndarray, begin: int, eos: int) -> Iterator[tuple[int, np.ndarray]]:
    for at in range(begin, len(tokens), TOKENS_AT_ONCE):
        ends = np.flatnonzero(tokens[at : at + TOKENS_AT_ONCE] == eos) + at + 1
        if len(ends):
            yield begin, np.diff(ends, prepend=begin)
            begin = int(ends[-1])


def _dtype_of_index(prefix: Path) -> np.dtype | None:
    try:
        return read_header(file_of(prefix, ".idx"))[0]
    except (InputError, OSError):
        return None


def _copy_others(damaged: _Damaged, scratch: Path) -> int:
    """Copy what is neither index, tokens nor sidecar: the tokenizer, rejects. Returns how many were damaged too."""
    left_out = 0
    for name, expected in damaged.outputs.items():
        path = damaged.prefix.with_name(name)
        if name.startswith(f"{CORPUS_PREFIX}.") or name == LOST:
            continue
        if path.is_file() and content_hash(path) == expected:
            shutil.copyfile(path, scratch / name)
        else:
            left_out += 1
    return left_out
