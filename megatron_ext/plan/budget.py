"""What an arm spends: unique, repeated and trained tokens by source, epochs, steps, FLOPs; and what is refused.

A run that would read a source more often than it may, and arms that do not cost the same, are refused before
anything is trained. Arithmetic only: extents come in as numbers.
"""

from collections.abc import Mapping
from typing import Any

from data_tools.errors import InputError
from megatron_ext.config import RunConfig
from megatron_ext.plan.cost import checkpoint_bytes, parameters, training_flops
from megatron_ext.plan.extent import Extent
from megatron_ext.plan.phases import phases_of


def rows_by_source(config: RunConfig) -> dict[str, int]:
    """Source -> rows that the whole run takes from it."""
    total = dict.fromkeys(sorted(config.sources), 0)
    for phase in phases_of(config):
        for name, rows in phase.rows_before(phase.stop).items():
            total[name] += rows
    return total


def settle(config: RunConfig, extents: Mapping[str, Extent]) -> None:
    """Check that the corpora hold what the run asks of them.

    Args:
        config: the run.
        extents: source name -> what it holds.

    Raises:
        InputError: a source has no extent, is smaller than one row, or would be read more than max_epochs times;
            then with the shortage in tokens.
    """
    length = config.batch.sequence_length
    for name, rows in rows_by_source(config).items():
        source, where = config.sources[name], f"sources.{name}"
        if name not in extents:
            raise InputError(
                where=where, found="no size", expected="the size of its corpus", fix="Give a size for every source."
            )
        extent = extents[name]
        if extent.rows < 1:
            pairs = source.kind == "pairs"
            raise InputError(
                where=f"{where}, {source.pairs if pairs else source.corpus}",
                found="no pairs" if pairs else f"{extent.size} tokens",
                expected="at least one pair" if pairs else f"at least one row of {length} tokens",
                fix="Keep pairs of lower similarity." if pairs else "Add documents, or lower batch.sequence_length.",
            )
        if source.max_epochs is None:
            continue
        allowed = source.max_epochs * extent.rows
        if rows > allowed:
            times = "once" if source.max_epochs == 1 else f"{source.max_epochs} times"
            raise InputError(
                where=f"{where}.tokens",
                found=f"{rows * length} tokens of a source that may be read {times} (max_epochs)",
                expected=f"at most {allowed * length}: it is short of {(rows - allowed) * length} tokens",
                fix="Make more of it, ask for fewer tokens, or raise max_epochs.",
            )


def match(arms: Mapping[str, RunConfig]) -> int:
    """The tokens that every arm trains on, if the arms can be compared.

    Raises:
        InputError: there are none, or two differ in total tokens or in their model.
    """
    if not arms:
        raise InputError(where="arms", found="none", expected="at least one", fix="Name the arms to compare.")
    (first, reference), *others = arms.items()
    for name, arm in others:
        if arm.tokens != reference.tokens:
            raise InputError(
                where=f"arms {first} and {name}",
                found=f"{reference.tokens} and {arm.tokens} tokens, {abs(arm.tokens - reference.tokens)} apart",
                expected="the same total of trained tokens",
                fix="Change the tokens of a source until both totals are equal.",
            )
        if arm.model != reference.model:
            raise InputError(
                where=f"arms {first} and {name}",
                found="different models",
                expected="one model, trained on different data",
                fix="Give both arms the same `model`.",
            )
    return reference.tokens


def arm_budget(
    config: RunConfig, extents: Mapping[str, Extent], *, source_documents: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The budget of one arm, as plain values.

    Args:
        config: the run.
        extents: as for `settle`.
        source_documents: source name -> documents of its corpus, where known.

    Returns:
        {"steps", "samples", "tokens", "unique", "repeated", "flops", "parameters", "checkpoint_bytes", "phases",
        "sources"}. A phase is source -> tokens. Each source has {"kind", "corpus_tokens", "trained", "unique",
        "repeated", "epochs", "max_epochs"}, and "documents" and "pairs" where there are such. Tokens of a source of
        pairs are its rows', the little padding included. `unique` counts each token of a corpus at most once; in a
        repeated source it may miss the truth by less than a row.
    """
    length = config.batch.sequence_length
    sources = {name: _source_budget(config, name, rows, extents[name]) for name, rows in rows_by_source(config).items()}
    for name, documents in (source_documents or {}).items():
        sources[name]["documents"] = documents
    by_phase = [phase.rows_before(phase.stop) for phase in phases_of(config)]
    return {
        "steps": config.steps,
        "samples": config.samples,
        "tokens": config.tokens,
        "unique": sum(source["unique"] for source in sources.values()),
        "repeated": sum(source["repeated"] for source in sources.values()),
        "flops": training_flops(config.model, config.tokens, length),
        "parameters": parameters(config.model),
        "checkpoint_bytes": checkpoint_bytes(config),
        "phases": [{name: rows * length for name, rows in phase.items()} for phase in by_phase],
        "sources": sources,
    }


def _source_budget(config: RunConfig, name: str, rows: int, extent: Extent) -> dict[str, Any]:
    source, length = config.sources[name], config.batch.sequence_length
    trained = rows * length
    corpus_tokens = extent.rows * length if source.kind == "pairs" else extent.size
    unique = trained if rows <= extent.rows else corpus_tokens
    budget = {
        "kind": source.kind,
        "corpus_tokens": corpus_tokens,
        "trained": trained,
        "unique": unique,
        "repeated": trained - unique,
        "epochs": round(rows / extent.rows, 4),
        "max_epochs": source.max_epochs,
    }
    return budget | ({"pairs": extent.size} if source.kind == "pairs" else {})
