"""Clean documents -> held-out, training, and a subset of training, by source document.

A source document (page) is in or out by a hash of its name and the seed: adding documents moves no other one, and
whatever is derived from a held-out page (its sections, rephrasings, pairs) is held out with it.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.corpus.groups import page_of
from data_tools.corpus.manifest import Manifest, run_step
from data_tools.errors import InputError
from data_tools.files import drawn
from data_tools.lines import lines_writer
from data_tools.steps.parts import part_name, place, totals
from data_tools.text.inputs import SHARD_BYTES, Shard, inputs_of, shards_of
from data_tools.text.readers import read_whole
from data_tools.workers import HERE, Team, folders_of, run_shards

PARTS = ("heldout", "train", "subset")


def split(
    cleaned: Path,
    output: Path,
    *,
    heldout_share: float,
    subset_share: float,
    seed: int,
    shard_bytes: int = SHARD_BYTES,
    replace: bool = False,
    crew: Team = HERE,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Share out the documents.

    Args:
        cleaned: folder written by `clean` or `dedup`.
        output: folder to make, with the folders `heldout`, `train` (all the rest) and `subset` (a part of train).
        heldout_share: share of the pages, 0 to 1.
        subset_share: share of the training pages, 0 to 1.
        seed: another seed, another split.
        shard_bytes: JSON for one shard, and so at most for one file of a part.
        replace: remove an output that other inputs or settings made.
        crew: who works.
        progress: called with (shards done, shards in all).

    Raises:
        InputError: a part would be empty.
    """
    inputs = inputs_of([cleaned])
    draw = Draw(heldout_share, subset_share, seed)

    def build(scratch: Path) -> dict[str, Any]:
        shards = shards_of(inputs, shard_bytes)
        counts = totals(run_shards(draw, shards, scratch, crew, progress))
        for part in PARTS:
            if not counts[part]:
                raise InputError(
                    where=str(cleaned), found=f"no document for the part '{part}'", expected="at least one in each",
                    fix="Raise heldout_share or subset_share, or give more documents.",
                )  # fmt: skip
            (scratch / part).mkdir(exist_ok=True)
            for number, folder in enumerate(folders_of(scratch, shards)):
                place(folder / f"{part}.jsonl.zst", scratch / part / part_name(number))
        return dict(counts)

    settings = {
        "heldout_share": heldout_share, "subset_share": subset_share, "seed": seed, "shard_bytes": shard_bytes,
    }  # fmt: skip
    return run_step(
        output, step="split", inputs=inputs.named(), settings=settings, build=build, replace=replace, task=crew.part
    )


@dataclass(frozen=True)
class Draw:
    """Shares out the documents of one shard."""

    heldout_share: float
    subset_share: float
    seed: int

    def __call__(self, shard: Shard, folder: Path) -> dict[str, int]:
        counts = dict.fromkeys(PARTS, 0)
        with ExitStack() as files:
            write = {part: files.enter_context(lines_writer(folder / f"{part}.jsonl.zst")) for part in PARTS}
            for document in read_whole(shard):
                chosen = self.part_of(page_of(document.id))
                for part in ("train", "subset") if chosen == "subset" else (chosen,):
                    write[part](document)
                    counts[part] += 1
        return counts

    def part_of(self, page: str) -> str:
        """heldout, subset (which is also in train) or train."""
        if drawn(page, salt=f"heldout {self.seed}") < self.heldout_share:
            return "heldout"
        return "subset" if drawn(page, salt=f"subset {self.seed}") < self.subset_share else "train"
