"""Everything about a run that can be refused before its first step, before any process or model exists. No torch."""

import json
from pathlib import Path

from data_tools.errors import InputError
from megatron_ext.config import RunConfig
from megatron_ext.data.sources import Source, corpus_vocabulary, open_sources
from megatron_ext.plan.budget import settle
from megatron_ext.plan.samples import SamplePlan


def check(config: RunConfig, folder: Path, *, ranks: int) -> tuple[SamplePlan, dict[str, Source]]:
    """Refuse a run that can't be trained; returns its plan and its opened sources.

    Args:
        config: the run.
        folder: run folder, new or of this very run.
        ranks: processes that will train it.

    Raises:
        InputError: a corpus is missing or has too large a vocabulary, the budget can't be filled, the global batch
            can't be shared out, or the folder belongs to another run.
    """
    sources = open_sources(config)
    _share_out(config, ranks)
    for name, source in config.sources.items():
        found = corpus_vocabulary(source.corpus)
        if found > config.model.vocabulary:
            raise InputError(
                where=f"sources.{name}.corpus {source.corpus}", found=f"a vocabulary of {found}",
                expected=f"at most the model's {config.model.vocabulary}",
                fix="Set model.vocabulary to the tokenizer's, or tokenize the corpus with the model's tokenizer.",
            )  # fmt: skip
    sizes = {name: source.size for name, source in sources.items()}
    settle(config, sizes)
    plan = SamplePlan.of(config, sizes)
    recorded = folder / "plan.json"
    if recorded.exists() and json.loads(recorded.read_text())["fingerprint"] != plan.fingerprint:
        raise InputError(
            where=str(recorded), found="the plan of another config or of other corpora",
            expected=f"fingerprint {plan.fingerprint}",
            fix="Train into a new folder, or restore the config and corpora that this run was started with.",
        )  # fmt: skip
    return plan, sources


def _share_out(config: RunConfig, ranks: int) -> None:
    data_parallel = max(1, ranks // (config.layout.tensor * config.layout.pipeline))
    at_once = config.batch.micro_batch * data_parallel
    if config.batch.global_batch % at_once:
        raise InputError(
            where="batch.global_batch", found=f"{config.batch.global_batch} samples",
            expected=f"a multiple of micro_batch {config.batch.micro_batch} x {data_parallel} data-parallel ranks",
            fix=f"Use {-(-config.batch.global_batch // at_once) * at_once}, another micro_batch, or other ranks.",
        )  # fmt: skip
