"""Documents -> clean documents: each rule counted, exact duplicates and over-long documents dropped."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_tools.corpus.manifest import Manifest, run_step
from data_tools.errors import InputError
from data_tools.files import text_hash
from data_tools.text.cleaning import NORMALISERS
from data_tools.text.readers import Document, read_documents, write_documents

DOCUMENTS = "documents.jsonl.zst"


def clean(inputs: Sequence[Path], output: Path, *, max_words: int = 4096, replace: bool = False) -> Manifest:
    """Apply the cleaning rules.

    Args:
        inputs: files of documents.
        output: folder to make; holds `documents.jsonl.zst`.
        max_words: longer documents are dropped, before a tokenizer is there to count tokens.
        replace: remove an output that other inputs or settings made.

    Raises:
        InputError: an input can't be read, or no document is left.
    """

    def build(scratch: Path) -> dict[str, Any]:
        counts: Counter[str] = Counter()
        kept = write_documents(scratch / DOCUMENTS, _cleaned(read_documents(inputs), max_words, counts))
        if not kept:
            raise InputError(
                where=", ".join(map(str, inputs)), found=f"{counts['read']} documents, of which none is left",
                expected="at least one document that is neither empty nor too long",
                fix="Name files with documents, or raise the limit on their length.",
            )  # fmt: skip
        return {"read": counts.pop("read"), "kept": kept} | dict(sorted(counts.items()))

    named = {str(number): path for number, path in enumerate(inputs)}
    settings = {"max_words": max_words, "rules": list(NORMALISERS)}
    return run_step(output, step="clean", inputs=named, settings=settings, build=build, replace=replace)


def _cleaned(documents: Iterator[Document], max_words: int, counts: Counter[str]) -> Iterator[Document]:
    counts.update({"read": 0, "dropped_empty": 0, "dropped_too_long": 0, "dropped_duplicate": 0})
    seen: set[str] = set()
    for document in documents:
        counts["read"] += 1
        text = document.text
        for name, rule in NORMALISERS.items():
            changed = rule(text)
            counts[f"changed_{name}"] += changed != text
            text = changed
        digest = text_hash(text)
        if not text:
            counts["dropped_empty"] += 1
        elif len(text.split()) > max_words:
            counts["dropped_too_long"] += 1
        elif digest in seen:
            counts["dropped_duplicate"] += 1
        else:
            seen.add(digest)
            yield Document(document.id, text, document.source, document.licence)
