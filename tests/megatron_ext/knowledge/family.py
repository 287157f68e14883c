"""Small corpora that were made of one another, runs over them, and all their showings by going through every sample."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from data_tools.corpus.origins import read_origins
from data_tools.corpus.views import View
from data_tools.steps.megadocs import megadocs
from data_tools.synthesis.engines.no_model import NoModel
from data_tools.synthesis.filters import Filters
from data_tools.synthesis.recipe import Draft, Seed, Steps
from data_tools.synthesis.run import synthesize
from megatron_ext.config import RunConfig, run_from_dict
from megatron_ext.data.finding import corpora_of
from megatron_ext.data.megadocs import Megadocs
from megatron_ext.data.pairs import Pairs
from megatron_ext.data.rows import round_ring
from megatron_ext.data.sources import Source, open_sources
from megatron_ext.plan.samples import Sample, SamplePlan
from tests.support import make_corpus, run_settings

DOCUMENTS = 12
PAIR = np.dtype([("d1", "<i8"), ("d2", "<i8"), ("similarity", "<f4")])
ROW = 16
"""Tokens of a row of a run."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """Documents without a model: each seed is told so many times, some not at all; of a kind."""

    name: ClassVar[str] = "told"
    version: ClassVar[int] = 1
    draws: ClassVar[bool] = False
    kind: str = "rephrase"
    times: int = 2

    def write(self, seed: Seed) -> Steps:
        yield []
        size = len(seed.ids)
        cuts = [size * (n + 1) // (self.times + 1) if self.kind == "thought" else 0 for n in range(self.times)]
        said = " again and" * (seed.number % 7)
        return [
            Draft(text=f"{self.kind} {n} of {seed.number}{said}", position=cut)
            for n, cut in enumerate(cuts if seed.number % 4 else [])
        ]


def told(corpus: Path, output: Path, **settings: Any) -> Path:
    """A corpus made of another one."""
    synthesize(corpus, output, recipe=Told(**settings), engine=NoModel(), filters=Filters(apply=()))
    return output


def make_family(folder: Path) -> Path:
    """A real corpus, corpora made of it and of those, views of them, and pairs."""
    corpus = make_corpus(folder, documents=DOCUMENTS)
    rephrased, thoughts = told(corpus, folder / "rephrased", times=3), told(corpus, folder / "thoughts", kind="thought")
    told(rephrased, folder / "asked", kind="qa")
    megadocs(corpus, [rephrased], folder / "stitched")
    megadocs(corpus, [thoughts], folder / "latent", layout="latent")
    megadocs(corpus, [rephrased], folder / "written", layout="simple", materialize=True)
    pairs = [(d1, (d1 * 5 + place) % DOCUMENTS, 0.9) for d1 in range(DOCUMENTS) for place in range(1 + d1 % 3)]
    (folder / "pairs").mkdir()
    np.save(folder / "pairs" / "pairs.npy", np.array(pairs, dtype=PAIR))
    return folder


def run_over(folder: Path, *, steps: int = 40, row: int = ROW, **sources: dict[str, Any]) -> RunConfig:
    """A run of steps of 8 rows that sources share evenly; of each its `corpus`, a folder's name, and other keys."""
    settings = run_settings(folder, steps=steps)
    settings["batch"] |= {"sequence_length": row}
    share = steps * 8 // len(sources) * row
    settings["sources"] = {
        name: keys | {key: str(folder / keys[key]) for key in ("corpus", "pairs") if key in keys} | {"tokens": share}
        for name, keys in sources.items()
    }
    return run_from_dict(settings, where="test")


def every_showing(config: RunConfig) -> set[tuple[str, int, int]]:
    """(folder of the corpus, document, step) of what each sample of a run shows, one sample after the other."""
    sources = open_sources(config)
    plan = SamplePlan.of(config, {name: source.extent for name, source in sources.items()})
    return {
        (*shown, step)
        for step in range(plan.steps) for i in plan.samples_of(step)
        for sample in [plan.locate(i)]
        for shown in _shown_by(sources[sample.source], sample, config.batch.sequence_length)
    }  # fmt: skip


def root_of(folder: Path, corpus: str, document: int) -> int:
    """The real document that a document was made of."""
    parent = {"rephrased": "corpus", "thoughts": "corpus", "asked": "rephrased"}.get(corpus)
    if parent is None:
        return document
    return root_of(folder, parent, int(read_origins(folder / corpus / "corpus")["document"][document]))


def _shown_by(source: Source, sample: Sample, row: int) -> list[tuple[str, int]]:
    if isinstance(source, Pairs):
        return [("corpus", document) for document in source.documents(sample)[1::2]]
    if isinstance(source, Megadocs) or len(corpora_of(source)) > 1:
        view = View(source.config.corpus)
        arrange = source.arranged(sample.epoch) if isinstance(source, Megadocs) else None
        parts = [
            (view.corpora[member["corpus"]], int(member["document"]), low, high)
            for first, stop, _ in round_ring(sample.start, row, view.size)
            for member, low, high in view.stretches(first, stop, arrange)
        ]
    else:
        corpus = source.corpora[0]
        ends = np.cumsum(corpus.lengths, dtype=np.int64)
        tokens = (sample.start + np.arange(row)) % corpus.token_count
        owners = np.searchsorted(ends, tokens, side="right")
        within = tokens - (ends - corpus.lengths)[owners]
        parts = [(corpus, int(d), int(t), int(t) + 1) for d, t in zip(owners, within, strict=True)]
    return [
        (corpus.prefix.parent.name, document)
        for corpus, document, low, high in parts if low <= int(corpus.lengths[document]) // 2 < high
    ]  # fmt: skip
