"""Clean documents -> held-out, training, and a subset of training, by source document.

A source document (page) is in or out by a hash of its name and the seed: adding documents moves no other one, and
whatever is derived from a held-out page (its sections, rephrasings, pairs) is held out with it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_tools.corpus.groups import page_of
from data_tools.corpus.manifest import Manifest, run_step
from data_tools.errors import InputError
from data_tools.files import text_hash
from data_tools.steps.clean import DOCUMENTS
from data_tools.text.readers import Document, read_documents, write_documents

PARTS = ("heldout", "train", "subset")


def split(
    cleaned: Path, output: Path, *, heldout_share: float, subset_share: float, seed: int, replace: bool = False
) -> Manifest:
    """Share out the documents.

    Args:
        cleaned: folder written by `clean`.
        output: folder to make: `heldout`, `train` (all the rest) and `subset` (a part of train), each `.jsonl.zst`.
        heldout_share: share of the pages, 0 to 1.
        subset_share: share of the training pages, 0 to 1.
        seed: another seed, another split.
        replace: remove an output that other inputs or settings made.

    Raises:
        InputError: a part would be empty.
    """

    def build(scratch: Path) -> dict[str, Any]:
        counts: dict[str, Any] = {}
        for part in PARTS:
            chosen = _chosen(cleaned / DOCUMENTS, part, heldout_share, subset_share, seed)
            counts[part] = write_documents(scratch / f"{part}.jsonl.zst", chosen)
            if not counts[part]:
                raise InputError(
                    where=str(cleaned), found=f"no document for the part '{part}'", expected="at least one in each",
                    fix="Raise heldout_share or subset_share, or give more documents.",
                )  # fmt: skip
        return counts

    settings = {"heldout_share": heldout_share, "subset_share": subset_share, "seed": seed}
    inputs = {"documents": cleaned}
    return run_step(output, step="split", inputs=inputs, settings=settings, build=build, replace=replace)


def part_of(page: str, *, heldout_share: float, subset_share: float, seed: int) -> str:
    """heldout, subset (which is also in train) or train."""
    if _draw(page, f"heldout {seed}") < heldout_share:
        return "heldout"
    return "subset" if _draw(page, f"subset {seed}") < subset_share else "train"


def _draw(page: str, salt: str) -> float:
    """A number in [0, 1) that depends on nothing but the two texts."""
    return int(text_hash(f"{salt}\0{page}")[:13], 16) / 16**13


def _chosen(
    documents: Path, part: str, heldout_share: float, subset_share: float, seed: int
) -> Iterator[Document]:
    wanted = {"train", "subset"} if part == "train" else {part}
    for document in read_documents([documents]):
        page = page_of(document.id)
        if part_of(page, heldout_share=heldout_share, subset_share=subset_share, seed=seed) in wanted:
            yield document
