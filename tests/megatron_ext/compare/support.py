"""A tiny comparison, and corpora for it that no model has to write."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.steps.tokenize import tokenize
from data_tools.synthesis.engines.no_model import NoModel
from data_tools.synthesis.filters import Filters
from data_tools.synthesis.recipe import Draft, Seed, Steps
from data_tools.synthesis.run import synthesize
from data_tools.text.readers import Document, write_documents
from megatron_ext.compare.runs import Comparison
from megatron_ext.config import load_comparison
from tests.support import MODEL, WORDS, make_corpus

STEP = 128
"""Tokens of a step: 8 x 16."""


def settings(**changes: Any) -> dict[str, Any]:
    """A comparison of 8 x 16 tokens a step, over corpora beside its file."""
    return {
        "name": "tiny", "real": "corpus", "heldout": "heldout", "steps_per_epoch": 10,
        "views": {"stitched": {"synthetic": ["said"]}, "latent": {"synthetic": ["thoughts"], "layout": "latent"}},
        "arms": {
            "baseline": {"epochs": 2}, "stitched": {"view": "stitched", "epochs": 2, "weight": 0.5},
            "latent": {"view": "latent", "epochs": 1, "weight": 0.75, "changes": {"schedule.peak_lr": 0.003}},
        },
        "scan": {"points": [{"steps_per_epoch": 3, "epochs": 2}, {"steps_per_epoch": 6, "epochs": 2}]},
        "ensembles": {"members": 2, "arms": ["baseline", "stitched"]},
        "model": MODEL,
        "batch": {"sequence_length": 16, "global_batch": 8, "micro_batch": 2},
        "schedule": {"peak_lr": 0.01, "end_lr": 0.0},
        "tracking": {"wandb": "disabled", "tensorboard": False},
    } | changes  # fmt: skip


def comparison(folder: Path, **changes: Any) -> Comparison:
    """A comparison whose file stands in a folder."""
    path = folder / "comparison.yaml"
    path.write_text(yaml.safe_dump(settings(**changes), sort_keys=False))
    return Comparison(load_comparison(path), str(path), folder / "out")


@dataclass(frozen=True, kw_only=True)
class Said:
    """A recipe without a model: a few short documents of each real one, or thoughts in it."""

    name: ClassVar[str] = "said"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "rephrase"
    draws: ClassVar[bool] = False
    cuts: bool = False

    def write(self, seed: Seed) -> Steps:
        yield []
        words = seed.text.split()
        place = len(seed.ids) // 2 if self.cuts else 0
        return [Draft(text=" ".join(words[start::2]), position=place) for start in range(1 if self.cuts else 2)]


def make_corpora(folder: Path) -> int:
    """All that the comparison reads; returns its steps_per_epoch."""
    corpus = make_corpus(folder)
    texts = (" ".join(WORDS[(n * 5 + i * (n % 3 + 2)) % len(WORDS)] for i in range(40)) for n in range(6))
    write_documents(
        folder / "held.jsonl.zst", (Document(f"held/{n}#0", t, "test", "none") for n, t in enumerate(texts))
    )
    tokenize([folder / "held.jsonl.zst"], folder / "tokenizer", folder / "heldout")
    for name, cuts in (("said", False), ("thoughts", True)):
        synthesize(corpus, folder / name, recipe=Said(cuts=cuts), engine=NoModel(), filters=Filters(apply=()))
    return IndexedCorpus(corpus / CORPUS_PREFIX).token_count // 16 // 8
