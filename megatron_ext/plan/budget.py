"""What an arm spends: unique, repeated and trained tokens by source, epochs, steps, FLOPs; and what is refused.

A run that would read a source more often than it may, and arms that do not cost the same, are refused before
anything is trained. Arithmetic only: sizes come in as numbers.
"""

from collections.abc import Mapping
from typing import Any

from data_tools.errors import InputError
from megatron_ext.config import RunConfig, SourceConfig
from megatron_ext.plan.cost import parameters, training_flops


def rows_per_epoch(source: SourceConfig, size: int, sequence_length: int) -> int:
    """Rows in which a source is read through once: its pairs, or the whole windows of its tokens."""
    return size if source.kind == "pairs" else size // sequence_length


def settle(config: RunConfig, sizes: Mapping[str, int]) -> None:
    """Check that the corpora hold what the run asks of them.

    Args:
        config: the run.
        sizes: source name -> tokens of its corpus; for a source of pairs, its pairs.

    Raises:
        InputError: a source has no size, is smaller than one row, or would be read more than max_epochs times;
            then with the shortage in tokens.
    """
    length = config.batch.sequence_length
    for name, source in config.sources.items():
        where = f"sources.{name}"
        if name not in sizes:
            raise InputError(
                where=where, found="no size", expected="the size of its corpus", fix="Give a size for every source."
            )
        rows = rows_per_epoch(source, sizes[name], length)
        if rows < 1:
            pairs = source.kind == "pairs"
            raise InputError(
                where=f"{where}, {source.pairs if pairs else source.corpus}",
                found="no pairs" if pairs else f"{sizes[name]} tokens",
                expected="at least one pair" if pairs else f"at least one row of {length} tokens",
                fix="Keep pairs of lower similarity." if pairs else "Add documents, or lower batch.sequence_length.",
            )
        if source.max_epochs is None:
            continue
        allowed = source.max_epochs * rows * length
        if source.tokens > allowed:
            times = "once" if source.max_epochs == 1 else f"{source.max_epochs} times"
            raise InputError(
                where=f"{where}.tokens",
                found=f"{source.tokens} tokens of a source that may be read {times} (max_epochs)",
                expected=f"at most {allowed}: it is short of {source.tokens - allowed} tokens",
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
    config: RunConfig, sizes: Mapping[str, int], *, source_documents: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The budget of one arm, as plain values.

    Args:
        config: the run.
        sizes: as for `settle`.
        source_documents: source name -> documents of its corpus, where known.

    Returns:
        {"steps", "samples", "tokens", "unique", "repeated", "flops", "parameters", "sources"}; each source has
        {"kind", "corpus_tokens", "trained", "unique", "repeated", "epochs", "max_epochs"}, and "documents" and
        "pairs" where there are such. Tokens of a source of pairs are its rows', padding included. `unique` counts
        each token of a corpus at most once; in a repeated source it may miss the truth by less than a row.
    """
    sources = {name: _source_budget(config, name, sizes[name]) for name in config.sources}
    for name, documents in (source_documents or {}).items():
        sources[name]["documents"] = documents
    return {
        "steps": config.steps,
        "samples": config.samples,
        "tokens": config.tokens,
        "unique": sum(source["unique"] for source in sources.values()),
        "repeated": sum(source["repeated"] for source in sources.values()),
        "flops": training_flops(config.model, config.tokens, config.batch.sequence_length),
        "parameters": parameters(config.model),
        "sources": sources,
    }


def _source_budget(config: RunConfig, name: str, size: int) -> dict[str, Any]:
    source, length = config.sources[name], config.batch.sequence_length
    rows, per_epoch = source.tokens // length, rows_per_epoch(source, size, length)
    corpus_tokens = size * length if source.kind == "pairs" else size
    unique = source.tokens if rows <= per_epoch else corpus_tokens
    budget = {
        "kind": source.kind,
        "corpus_tokens": corpus_tokens,
        "trained": source.tokens,
        "unique": unique,
        "repeated": source.tokens - unique,
        "epochs": round(rows / per_epoch, 4),
        "max_epochs": source.max_epochs,
    }
    return budget | ({"pairs": size} if source.kind == "pairs" else {})
