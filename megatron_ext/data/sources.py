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


def described(number: int, sample: Sample, sources: Mapping[str, Source]) -> dict[str, Any]:
    """Where a sample comes from and the numbers of its documents, as plain values."""
    return {
        "sample": number, "source": sample.source, "epoch": sample.epoch, "start": sample.start,
        "documents": sources[sample.source].documents(sample),
    }  # fmt: skip


def corpus_vocabulary(folder: Path) -> int:
    """Entries of the vocabulary that a corpus was written with."""
    return int(read_manifest(folder).settings["vocabulary"])
