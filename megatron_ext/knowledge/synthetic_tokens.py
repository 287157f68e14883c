"""How many synthetic tokens a model of ours has seen: from its run's plan and what its corpora are made of. No torch.

Counted up to the checkpoint that is meant, of this run only: not of what it was started from.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_tools.corpus.groups import KINDS, read_groups
from data_tools.corpus.indexed import CHUNK, CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import is_finished, read_manifest
from data_tools.errors import InputError
from data_tools.text.tokenizer import model_file
from megatron_ext.checkpoint.folders import is_checkpoint, resolve, step_of
from megatron_ext.config import RunConfig, run_from_dict
from megatron_ext.plan.phases import phases_of

PLAN, CONFIG = "plan.json", "config.json"
WRITTEN_BY_PEOPLE = [KINDS[name] for name in ("real", "pair_d1", "pair_d2", "megadoc", "pair")]
"""Kinds of documents; what a megadoc holds its view has counted."""


@dataclass(frozen=True, slots=True)
class TokensSeen:
    """Synthetic tokens that a model was trained on."""

    unique: int
    """Each token of a corpus once, however often it was read."""
    trained: int


def is_run(model: str) -> bool:
    """Whether a name is that of a run of ours or of one of its checkpoints."""
    folder = _run_of(Path(model))
    return (folder / PLAN).is_file() and (folder / CONFIG).is_file()


def tokens_seen(model: Path) -> TokensSeen:
    """The synthetic tokens of a run up to a checkpoint, the newest one if the run itself is named.

    Raises:
        InputError: it has no checkpoint, or one of its corpora is gone.
    """
    run, step = _run_of(model), step_of(resolve(model))
    config = _config(run)
    budget = json.loads((run / PLAN).read_text())["budget"]["sources"]
    rows: Counter[str] = Counter()
    for phase in phases_of(config):
        rows.update(phase.rows_before(config.batch.first_sample(step)))
    unique = trained = 0.0
    for name, source in config.sources.items():
        share = 0.0 if source.kind == "pairs" else synthetic_share(source.corpus, where=f"{run}, sources.{name}")
        tokens = rows[name] * config.batch.sequence_length
        trained += share * tokens
        unique += share * min(tokens, budget[name]["corpus_tokens"])
    return TokensSeen(round(unique), round(trained))


def synthetic_share(corpus: Path, *, where: str) -> float:
    """The share of a corpus's or a view's tokens that a model wrote.

    Raises:
        InputError: it is gone.
    """
    if not is_finished(corpus):
        raise InputError(
            where=where, found=f"no corpus {corpus} any more", expected="the corpora that the run was trained on",
            fix="Say how many synthetic tokens it saw with --tokens NAME=NUMBER.",
        )  # fmt: skip
    counts = read_manifest(corpus).counts
    if "synthetic_tokens" in counts:
        return counts["synthetic_tokens"] / (counts["synthetic_tokens"] + counts["real_tokens"])
    lengths, groups = IndexedCorpus(corpus / CORPUS_PREFIX).lengths, read_groups(corpus / CORPUS_PREFIX)
    synthetic = total = 0
    for start in range(0, len(lengths), CHUNK):
        tokens = np.asarray(lengths[start : start + CHUNK], dtype=np.int64)
        written = ~np.isin(groups["kind"][start : start + CHUNK], WRITTEN_BY_PEOPLE)
        synthetic, total = synthetic + int(tokens[written].sum()), total + int(tokens.sum())
    return synthetic / total


def tokenizer_of(model: Path) -> Path:
    """Where the tokenizer of a run is: the one that it names, or that of one of its corpora.

    Raises:
        InputError: none of them is there.
    """
    run = _run_of(model)
    config = _config(run)
    places = [config.tokenizer] if config.tokenizer else []
    places += [source.corpus for source in config.sources.values()]
    for place in places:
        try:
            model_file(place)
        except InputError:
            continue
        return place
    raise InputError(
        where=str(run), found="a run whose tokenizer isn't there: it names none, and its corpora are gone",
        expected="one that questions can be encoded with",
        fix=f"Export it with `megatron-ext convert export {run} FOLDER --tokenizer ...`, and name that folder.",
    )  # fmt: skip


def _run_of(model: Path) -> Path:
    return model.parent.parent if is_checkpoint(model) else model


def _config(run: Path) -> RunConfig:
    return run_from_dict(json.loads((run / CONFIG).read_text()), where=str(run / CONFIG))
