"""The corpora of a run, opened: rows of tokens by their place in the plan. Needs no torch, so that plans are checked,
and first rows read, anywhere.

Every source says what it holds (`extent`) and of which `corpora`, gives rows (`row(sample)`) and the numbers of the
documents in them (`documents(sample)`), counted through its corpora.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_tools.corpus.manifest import read_manifest
from megatron_ext.config import RunConfig
from megatron_ext.data.megadocs import Megadocs
from megatron_ext.data.pairs import Pairs
from megatron_ext.data.windows import Windows
from megatron_ext.plan.samples import Sample
from megatron_ext.plan.showings import Showing

Source = Windows | Pairs | Megadocs


def open_source(config: RunConfig, name: str) -> Source:
    """One source of a run, opened; errors name the missing file."""
    source, length = config.sources[name], config.batch.sequence_length
    if source.kind == "pairs":
        return Pairs(source, name=name, seed=config.seed, sequence_length=length)
    if source.kind == "megadocs":
        return Megadocs(source, name=name, seed=config.seed, sequence_length=length)
    return Windows(source, sequence_length=length)


def open_sources(config: RunConfig) -> dict[str, Source]:
    """All sources of a run, opened."""
    return {name: open_source(config, name) for name in config.sources}


def corpus_folders(sources: Mapping[str, Source]) -> list[Path]:
    """Folders of all corpora that the sources read, source by source."""
    return [corpus.prefix.parent for source in sources.values() for corpus in source.corpora]


def described(
    number: int, sample: Sample, sources: Mapping[str, Source], showing: Showing | None = None
) -> dict[str, Any]:
    """Where a sample comes from, what is injected into it, and the numbers of its documents, as plain values."""
    passage = {} if showing is None else {"passage": showing.passage, "version": showing.version}
    return {
        "sample": number, "source": sample.source, "epoch": sample.epoch, "start": sample.start,
        **passage, "documents": sources[sample.source].documents(sample),
    }  # fmt: skip


def corpus_vocabulary(folder: Path) -> int:
    """Entries of the vocabulary that a corpus was written with."""
    return int(read_manifest(folder).settings["vocabulary"])
