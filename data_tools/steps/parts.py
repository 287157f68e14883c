"""What steps that write documents share: one file of documents a shard, put in its place once all shards are done."""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from data_tools.workers import HERE, Team

DOCUMENTS = "documents.jsonl.zst"
"""In a shard's folder."""


def part_name(number: int) -> str:
    """The name that the documents of a shard have in an output."""
    return f"documents-{number:05d}.jsonl.zst"


def place(source: Path, target: Path) -> None:
    """Give a shard's file its place in the output; the shard keeps it too, for a build that is killed meanwhile."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def totals(done: Sequence[dict[str, int]]) -> Counter[str]:
    """The shards' counts in all; a sum of Counters would leave out what is 0."""
    counts: Counter[str] = Counter()
    for shard_counts in done:
        counts.update(shard_counts)
    return counts


def finishing(crew: Team) -> Team:
    """Who does what is left when all shards are done: of an array's tasks only one is still there."""
    return HERE if crew.part is not None else crew
