"""Documents -> clean documents: each rule can be left out and is counted; what is dropped is counted by reason.

Shards are cleaned by whoever works. Duplicates are then found among the keys of all texts, 16 bytes each, and the files
that have some are written again without them; the first in the order of the inputs is kept.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.keys import key_of, repeated
from data_tools.corpus.manifest import Manifest, run_step
from data_tools.errors import InputError
from data_tools.files import SHARDS, join_files
from data_tools.lines import lines_writer, read_lines, write_lines
from data_tools.steps.parts import DOCUMENTS, finishing, part_name, place, totals
from data_tools.text.cleaning import NORMALISERS, has_more_words
from data_tools.text.inputs import SHARD_BYTES, Shard, inputs_of, shards_of
from data_tools.text.readers import Document, Fields, read_shard, require_usable
from data_tools.text.rejects import EMPTY_TEXT, MAX_BAD_SHARE, Rejects, merge_rejects
from data_tools.workers import HERE, Team, folder_of, folders_of, run_shards

RULES = (*NORMALISERS, "too_long", "duplicate")
"""All that can be left out; empty documents always are."""

TEXTS, IDS = "texts.keys", "ids.keys"
"""Keys of the documents of a shard, see `corpus.keys`."""


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
        require_usable(shards, fields)
        done = run_shards(Cleaner(tuple(rules), max_words, fields), shards, scratch, crew, progress)
        counts, folders = totals(done), folders_of(scratch, shards)
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
        texts, ids = (
            join_files([folder / name for folder in folders], scratch / SHARDS / name) for name in (TEXTS, IDS)
        )
        dropped = np.zeros(written, dtype=bool)
        if "duplicate" in rules:
            dropped[repeated(texts)[:, 1]] = True
        ends = np.cumsum([shard_counts["written"] for shard_counts in done])
        _place_kept(scratch, folders, np.split(dropped, ends[:-1]), finishing(crew))
        counts["dropped_duplicate"] = int(dropped.sum())
        return {
            "files": len(found), "files_passed_over": found.passed_over, "read": read,
            "kept": written - counts["dropped_duplicate"],
            "repeated_ids": int((~dropped[repeated(ids)[:, 1]]).sum()),
            **dict(sorted(counts.items())), **({"rejected": rejected} if rejected else {}),
        }  # fmt: skip

    settings = {"max_words": max_words, "rules": rules, "fields": asdict(fields), "shard_bytes": shard_bytes}
    return run_step(
        output, step="clean", inputs=found.named(), settings=settings, build=build, replace=replace, task=crew.part
    )


@dataclass(frozen=True)
class Cleaner:
    """Cleans one shard: its documents, the keys of their texts and ids, and its rejects."""

    rules: tuple[str, ...]
    max_words: int
    fields: Fields

    def __call__(self, shard: Shard, folder: Path) -> dict[str, int]:
        counts: Counter[str] = Counter()
        with ExitStack() as files:
            rejects = files.enter_context(Rejects(folder))
            write = files.enter_context(lines_writer(folder / DOCUMENTS))
            texts, ids = (files.enter_context((folder / name).open("wb")) for name in (TEXTS, IDS))
            for document in self._cleaned(read_shard(shard, self.fields, rejects), counts):
                write(document)
                texts.write(key_of(document.text))
                ids.write(key_of(document.id))
        return dict(counts)

    def _cleaned(self, documents: Iterator[Document], counts: Counter[str]) -> Iterator[Document]:
        normalisers = [(name, NORMALISERS[name]) for name in self.rules if name in NORMALISERS]
        counts.update(dict.fromkeys(("read", "written", "dropped_empty", "dropped_too_long"), 0))
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


def _place_kept(scratch: Path, folders: Sequence[Path], dropped: Sequence[np.ndarray], crew: Team) -> None:
    """Put the shards' documents in their places: as they are, or written again where some are dropped."""
    torn = [number for number, lines in enumerate(dropped) if lines.any()]
    again = scratch / SHARDS / "again"
    run_shards(_write_without, [(folders[n] / DOCUMENTS, np.flatnonzero(dropped[n])) for n in torn], again, crew)
    sources = [folder / DOCUMENTS for folder in folders]
    for place_again, number in enumerate(torn):
        sources[number] = folder_of(again, place_again) / DOCUMENTS
    for number, source in enumerate(sources):
        place(source, scratch / part_name(number))


def _write_without(shard: tuple[Path, np.ndarray], folder: Path) -> dict[str, int]:
    path, dropped = shard[0], set(shard[1].tolist())
    kept = (row for number, row in enumerate(read_lines(path)) if number not in dropped)
    return {"written": write_lines(folder / DOCUMENTS, kept)}
