"""Documents -> clean documents: each rule can be left out and is counted; what is dropped is counted by reason.

Shards are cleaned by whoever works. Duplicates are then found among the hashes of all texts, and the files that have
some are written again without them; the first in the order of the inputs is kept. Memory: 16 bytes a text on the disk,
under 1 GB for 60M documents.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.manifest import Manifest, run_step
from data_tools.errors import InputError
from data_tools.files import SHARDS
from data_tools.lines import lines_writer, read_lines, write_lines
from data_tools.steps.parts import DOCUMENTS, finishing, folders_of, part_name, place
from data_tools.text.cleaning import NORMALISERS, has_more_words
from data_tools.text.hashes import hashes_of, repeats
from data_tools.text.inputs import SHARD_BYTES, Shard, inputs_of, shards_of
from data_tools.text.readers import Document, Fields, read_shard
from data_tools.text.rejects import EMPTY_TEXT, MAX_BAD_SHARE, Rejects, merge_rejects
from data_tools.workers import HERE, Team, folder_of, run_shards

RULES = (*NORMALISERS, "too_long", "duplicate")
"""All that can be left out; empty documents always are."""

TEXTS, IDS = "texts.npy", "ids.npy"
"""Hashes of the documents of a shard."""


def clean(
    inputs: Sequence[Path],
    output: Path,
    *,
    max_words: int = 4096,
    skip_rules: Sequence[str] = (),
    fields: Fields = Fields(),  # noqa: B008  it is frozen
    max_bad_share: float = MAX_BAD_SHARE,
    shard_bytes: int = SHARD_BYTES,
    replace: bool = False,
    crew: Team = HERE,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Apply the cleaning rules.

    Args:
        inputs: files and folders of documents, and globs.
        output: folder to make; holds `documents-00000.jsonl.zst` and so on, and `rejects.jsonl` if there are any.
        max_words: longer documents are dropped, before a tokenizer is there to count tokens.
        skip_rules: those of RULES that are not applied.
        fields: keys of the records.
        max_bad_share: share of the records that may be unusable.
        shard_bytes: JSON for one shard, and so for one output file.
        replace: remove an output that other inputs or settings made.
        crew: who works.
        progress: called with (shards done, shards in all).

    Raises:
        InputError: an input can't be read, a rule is unknown, or no document is left.
    """
    if unknown := [rule for rule in skip_rules if rule not in RULES]:
        raise InputError(
            where="rules to leave out", found=f"'{unknown[0]}'", expected="one of " + ", ".join(RULES),
            fix="Name one of these rules.",
        )  # fmt: skip
    found = inputs_of(inputs)
    rules = [rule for rule in RULES if rule not in skip_rules]

    def build(scratch: Path) -> dict[str, Any]:
        shards = shards_of(found, shard_bytes)
        counts: Counter[str] = Counter()
        for shard_counts in run_shards(Cleaner(tuple(rules), max_words, fields), shards, scratch, crew, progress):
            counts.update(shard_counts)
        folders = folders_of(scratch, shards)
        rejected = merge_rejects(folders, scratch, read=counts["read"], max_bad_share=max_bad_share)
        for name in ("read", "dropped_empty"):
            counts[name] += rejected.get(EMPTY_TEXT, 0)
        read, written = counts.pop("read"), counts.pop("written")
        if not written:
            raise InputError(
                where=", ".join(map(str, inputs)), found=f"{read} documents, of which none is left",
                expected="at least one document that is neither empty nor too long",
                fix="Name files with documents, or raise the limit on their length.",
            )  # fmt: skip
        dropped = repeats([folder / TEXTS for folder in folders])
        if "duplicate" not in rules:
            dropped[:] = False
        same_id = repeats([folder / IDS for folder in folders], left_out=dropped)
        _place_kept(scratch, folders, dropped, finishing(crew))
        counts |= Counter(dropped_duplicate=int(dropped.sum()), repeated_ids=int(same_id.sum()))
        kept = written - counts["dropped_duplicate"]
        others = {"rejected": rejected} if rejected else {}
        return {"files": len(found), "files_passed_over": found.passed_over, "read": read, "kept": kept} | dict(
            sorted(counts.items())
        ) | others

    settings = {"max_words": max_words, "rules": rules, "fields": asdict(fields), "shard_bytes": shard_bytes}
    return run_step(
        output, step="clean", inputs=found.named(), settings=settings, build=build, replace=replace, task=crew.part
    )


@dataclass(frozen=True)
class Cleaner:
    """Cleans one shard: its documents, the hashes of their texts and ids, and its rejects."""

    rules: tuple[str, ...]
    max_words: int
    fields: Fields

    def __call__(self, shard: Shard, folder: Path) -> dict[str, int]:
        counts: Counter[str] = Counter(read=0, written=0, dropped_empty=0, dropped_too_long=0)
        texts, ids = [], []
        with Rejects(folder) as rejects, lines_writer(folder / DOCUMENTS) as write:
            for document in self._cleaned(read_shard(shard, self.fields, rejects), counts):
                write(document)
                texts.append(hashes_of([document.text]))
                ids.append(hashes_of([document.id]))
        for name, hashes in ((TEXTS, texts), (IDS, ids)):
            np.save(folder / name, np.concatenate([hashes_of([]), *hashes]))
        return dict(counts)

    def _cleaned(self, documents: Iterator[Document], counts: Counter[str]) -> Iterator[Document]:
        normalisers = [(name, NORMALISERS[name]) for name in self.rules if name in NORMALISERS]
        for name, _ in normalisers:
            counts.update({f"changed_{name}": 0, f"removed_characters_{name}": 0})
        for document in documents:
            counts["read"] += 1
            text = document.text
            for name, rule in normalisers:
                changed = rule(text)
                if changed != text:
                    counts[f"changed_{name}"] += 1
                    counts[f"removed_characters_{name}"] += len(text) - len(changed)
                    text = changed
            if not text or text.isspace():
                counts["dropped_empty"] += 1
            elif "too_long" in self.rules and has_more_words(text, self.max_words):
                counts["dropped_too_long"] += 1
            else:
                counts["written"] += 1
                yield replace(document, text=text)


def _place_kept(scratch: Path, folders: Sequence[Path], dropped: np.ndarray, crew: Team) -> None:
    """Put the shards' documents in their places: as they are, or written again where some are dropped."""
    torn: list[tuple[Path, np.ndarray]] = []
    names: list[str] = []
    first = 0
    for number, folder in enumerate(folders):
        count = len(np.load(folder / TEXTS, mmap_mode="r"))
        lines = np.flatnonzero(dropped[first : first + count])
        first += count
        if len(lines):
            torn.append((folder / DOCUMENTS, lines))
            names.append(part_name(number))
        else:
            place(folder / DOCUMENTS, scratch / part_name(number))
    again = scratch / SHARDS / "again"
    run_shards(_write_without, torn, again, crew)
    for number, name in enumerate(names):
        place(folder_of(again, number) / DOCUMENTS, scratch / name)


def _write_without(shard: tuple[Path, np.ndarray], folder: Path) -> dict[str, int]:
    path, dropped = shard[0], set(shard[1].tolist())
    kept = (row for number, row in enumerate(read_lines(path)) if number not in dropped)
    return {"written": write_lines(folder / DOCUMENTS, kept)}
