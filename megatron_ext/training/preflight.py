"""Everything about a run that can be refused before its first step, before any process or model exists. No torch."""

import json
from pathlib import Path

from data_tools.corpus.manifest import hash_of_input
from data_tools.errors import InputError
from megatron_ext.config import RunConfig
from megatron_ext.data.sources import Source, corpus_vocabulary, open_sources
from megatron_ext.plan.samples import SamplePlan

PLAN = "plan.json"


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
    plan = SamplePlan.of(config, {name: source.extent for name, source in sources.items()})
    if not belongs_to(folder, fingerprint=plan.fingerprint, inputs=input_hashes(config)):
        raise InputError(
            where=str(folder / PLAN), found="the plan of another config or of other corpora",
            expected=f"fingerprint {plan.fingerprint} and the same inputs",
            fix="Train into a new folder, or restore the config and corpora that this run was started with.",
        )  # fmt: skip
    return plan, sources


def input_hashes(config: RunConfig) -> dict[str, str]:
    """Name -> content hash of everything that a run reads.

    Raises:
        InputError: one of them is missing or not finished.
    """
    inputs = {f"sources.{name}": source.corpus for name, source in config.sources.items()}
    inputs |= {f"pairs.{name}": source.pairs for name, source in config.sources.items() if source.pairs}
    if config.init_from is not None:
        inputs["init_from"] = config.init_from
    return {name: hash_of_input(path) for name, path in inputs.items()}


def belongs_to(folder: Path, *, fingerprint: str, inputs: dict[str, str]) -> bool:
    """Whether a run folder is new, or was started with this plan on these inputs.

    A corpus that was built again with as many tokens gives the same plan, so the inputs' contents count too.
    """
    if not (folder / PLAN).exists():
        return True
    recorded = json.loads((folder / PLAN).read_text())
    return (recorded["fingerprint"], recorded.get("inputs")) == (fingerprint, inputs)


def _share_out(config: RunConfig, ranks: int) -> None:
    data_parallel = max(1, ranks // (config.layout.tensor * config.layout.pipeline))
    at_once = config.batch.micro_batch * data_parallel
    if config.batch.global_batch % at_once:
        raise InputError(
            where="batch.global_batch", found=f"{config.batch.global_batch} samples",
            expected=f"a multiple of micro_batch {config.batch.micro_batch} x {data_parallel} data-parallel ranks",
            fix=f"Use {-(-config.batch.global_batch // at_once) * at_once}, another micro_batch, or other ranks.",
        )  # fmt: skip
