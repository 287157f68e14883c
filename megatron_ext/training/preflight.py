"""Everything about a run that can be refused before its first step, before any process or model exists. No torch."""

import json
import os
from pathlib import Path
from typing import Any

from data_tools.corpus.manifest import hash_of_input, read_manifest
from data_tools.errors import InputError
from data_tools.files import content_hash
from data_tools.text.tokenizer import Tokenizer
from megatron_ext.checkpoint.folders import is_checkpoint, latest_step
from megatron_ext.checkpoint.integrity import INTEGRITY
from megatron_ext.config import RunConfig, as_dict
from megatron_ext.convert.record import require_same_model
from megatron_ext.data.injection import Passages
from megatron_ext.data.sources import Source, corpus_folders, corpus_vocabulary, open_sources
from megatron_ext.plan.resume import trained_samples
from megatron_ext.plan.samples import SamplePlan
from megatron_ext.training.fit import require_divisible, require_fit
from megatron_ext.training.schedule import require_schedule

PLAN = "plan.json"
CONFIG = "config.json"


def check(
    config: RunConfig, folder: Path, *, ranks: int, here: bool = True
) -> tuple[SamplePlan, dict[str, Source]]:
    """Refuse a run that can't be trained; returns its plan and its opened sources.

    Args:
        config: the run.
        folder: run folder, new or of this very run.
        ranks: processes that will train it.
        here: whether on this machine, whose memory and software then have to do.

    Raises:
        InputError: a corpus is missing or of another tokenizer, the budget can't be filled, the facts don't hold what
            is to be shown, the run does not fit the machine, the folder can't be written or holds another run, or the
            weights to start from are of another model.
    """
    plan, sources = check_data(config)
    (require_fit if here else require_divisible)(config, ranks=ranks)
    _require_writable(folder)
    if config.init_from is not None:
        start = config.init_from
        require_same_model(config.model, start.parent.parent if is_checkpoint(start) else start)
    _require_same_run(config, folder, plan)
    return plan, sources


def check_data(config: RunConfig) -> tuple[SamplePlan, dict[str, Source]]:
    """The part of `check` that any machine can do: corpora, tokenizers, budget, schedule and facts.

    Raises:
        InputError: one of them can't be used.
    """
    sources = open_sources(config)
    _require_vocabulary(config)
    require_schedule(config)
    plan = SamplePlan.of(config, {name: source.extent for name, source in sources.items()})
    Passages.of(config, plan, corpus_folders(sources))
    return plan, sources


def input_hashes(config: RunConfig) -> dict[str, str]:
    """Name -> content hash of everything that a run reads.

    Raises:
        InputError: one of them is missing or not finished.
    """
    inputs = {f"sources.{name}": source.corpus for name, source in config.sources.items()}
    inputs |= {f"pairs.{name}": source.pairs for name, source in config.sources.items() if source.pairs}
    hashes = {name: hash_of_input(path) for name, path in inputs.items()}
    if config.knowledge is not None:
        hashes["knowledge.facts"] = content_hash(config.knowledge.facts)
    if config.init_from is not None:
        start = config.init_from
        hashes["init_from"] = content_hash(start / INTEGRITY) if is_checkpoint(start) else hash_of_input(start)
    return hashes


def recorded(folder: Path) -> dict[str, Any] | None:
    """What a run folder was last started with: {"fingerprint", "plan", "inputs", "budget"}; None if it is new."""
    path = folder / PLAN
    return json.loads(path.read_text()) if path.exists() else None


def _require_same_run(config: RunConfig, folder: Path, plan: SamplePlan) -> None:
    """A run may be given more tokens, a further phase or another batch size; what it was trained on stays."""
    before = recorded(folder)
    if before is None:
        return
    # A corpus that was built again with as many tokens gives the same plan, so the inputs' contents count too.
    # One that is no longer named was either not trained on yet, or the plan's past has changed.
    hashes = input_hashes(config)
    changed = [name for name, found in before["inputs"].items() if hashes.get(name, found) != found]
    if changed:
        raise InputError(
            where=str(folder / PLAN), found=f"a run that was started on another {changed[0]}",
            expected="the same inputs", fix="Train into a new folder, or restore what this run was started with.",
        )  # fmt: skip
    step = latest_step(folder) or 0
    trained = trained_samples(before["plan"], step=step)
    differs = plan.agrees(before["plan"], samples=trained, step=step)
    if differs is not None:
        raise InputError(
            where=str(folder / PLAN),
            found=f"a run whose first {step} steps were planned otherwise ({differs.rstrip('.')})",
            expected="the same samples in the same steps up to there",
            fix="Change the mixture in a new phase, the batch in a new stage of the ramp, facts at later steps; "
            "or use a new folder.",
        )  # fmt: skip
    model = json.loads((folder / CONFIG).read_text())["model"]
    if model != as_dict(config)["model"]:
        names = [name for name, value in as_dict(config)["model"].items() if model.get(name) != value]
        raise InputError(
            where=str(folder / CONFIG), found=f"a run of another model ({', '.join(names)})",
            expected="the model that this folder was started with",
            fix="Train into a new folder, or restore the model's sizes.",
        )  # fmt: skip


def _require_vocabulary(config: RunConfig) -> None:
    tokenizers = {}
    for name, source in config.sources.items():
        found = corpus_vocabulary(source.corpus)
        if found > config.model.vocabulary:
            raise InputError(
                where=f"sources.{name}.corpus {source.corpus}", found=f"a vocabulary of {found}",
                expected=f"at most the model's {config.model.vocabulary}",
                fix="Set model.vocabulary to the tokenizer's, or tokenize the corpus with the model's tokenizer.",
            )  # fmt: skip
        tokenizers[f"sources.{name}.corpus {source.corpus}"] = read_manifest(source.corpus).settings.get("tokenizer")
    if config.tokenizer is not None:
        loaded = Tokenizer.load(config.tokenizer)
        tokenizers[f"tokenizer {config.tokenizer}"] = loaded.hash
        if loaded.vocabulary > config.model.vocabulary:
            raise InputError(
                where=f"tokenizer {config.tokenizer}", found=f"a vocabulary of {loaded.vocabulary}",
                expected=f"at most the model's {config.model.vocabulary}",
                fix="Set model.vocabulary to the tokenizer's.",
            )  # fmt: skip
    known = {place: found for place, found in tokenizers.items() if found is not None}
    (first, reference), *others = known.items() if known else [("", None)]
    for place, found in others:
        if found != reference:
            raise InputError(
                where=place, found="another tokenizer", expected=f"that of {first}",
                fix="Tokenize every corpus of a run with the same tokenizer.",
            )  # fmt: skip


def _require_writable(folder: Path) -> None:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(
            where=str(existing), found="a place that can't be written to" if existing.is_dir() else "a file",
            expected="a folder for the run", fix="Name another --output, or change its permissions.",
        )  # fmt: skip
