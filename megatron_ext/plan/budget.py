"""What an arm spends: unique, repeated and trained tokens by source, epochs, steps, FLOPs; and what is refused.

A run that would read a source more often than it may, and arms that do not cost the same, are refused before
anything is trained. Arithmetic only: what the sources hold comes in as numbers.
"""

from collections.abc import Mapping
from typing import Any

from data_tools.errors import InputError
from megatron_ext.config import RunConfig
from megatron_ext.plan.cost import checkpoint_bytes, parameters, training_flops
from megatron_ext.plan.extent import Extent
from megatron_ext.plan.phases import phases_of


def settle(config: RunConfig, extents: Mapping[str, Extent]) -> None:
    """Check that the corpora hold what the run asks of them.

    Raises:
        InputError: a source has no extent, is smaller than one row, or would be read more than max_epochs times;
            then with the shortage in tokens.
    """
    for name, source in config.sources.items():
        where = f"sources.{name}"
        if name not in extents:
            raise InputError(
                where=where, found="no extent", expected="that of its corpus", fix="Give an extent for every source."
            )
        if extents[name].rows < 1:
            pairs = source.kind == "pairs"
            length = config.batch.sequence_length
            raise InputError(
                where=f"{where}, {source.pairs if pairs else source.corpus}",
                found="no pairs" if pairs else f"{extents[name].size} tokens",
                expected="at least one pair" if pairs else f"at least one row of {length} tokens",
                fix="Keep pairs of lower similarity." if pairs else "Add documents, or lower batch.sequence_length.",
            )
    _require_steps_per_epoch(config, extents)
    given = dict.fromkeys(config.sources, 0)
    for number, phase in enumerate(phases_of(config)):
        for name, rows in phase.rows_before(phase.stop).items():
            given[name] += rows
            where = f"phases.{number}.tokens.{name}" if config.phases else f"sources.{name}.tokens"
            _require_epochs(config, name, given[name], extents[name], where)


def _require_steps_per_epoch(config: RunConfig, extents: Mapping[str, Extent]) -> None:
    blend = config.blend
    if blend is None:
        return
    holds = extents[blend.real].rows // config.batch.global_batch
    if holds != blend.steps_per_epoch:
        raise InputError(
            where="blend.steps_per_epoch", found=str(blend.steps_per_epoch),
            expected=f"{holds}: the whole steps of {config.batch.tokens_per_step} tokens in sources.{blend.real}",
            fix="Correct the number, or name the corpus that it is of.",
        )  # fmt: skip


def _require_epochs(config: RunConfig, name: str, rows: int, extent: Extent, where: str) -> None:
    most = config.sources[name].max_epochs
    if most is None or rows <= most * extent.rows:
        return
    length = config.batch.sequence_length
    allowed, asked = most * extent.rows * length, rows * length
    raise InputError(
        where=where,
        found=f"{asked} tokens of a source that may be read {'once' if most == 1 else f'{most} times'} (max_epochs)",
        expected=f"at most {allowed}: it is short of {asked - allowed} tokens",
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
    config: RunConfig,
    extents: Mapping[str, Extent],
    *,
    source_documents: Mapping[str, int] | None = None,
    injected: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The budget of one arm, as plain values.

    Args:
        config: the run.
        extents: source name -> what it holds.
        source_documents: source name -> documents of its corpus, where known.
        injected: what is injected and what that displaces, as data/injection.py counts it, where the run has facts.

    Returns:
        {"steps", "samples", "tokens", "unique", "repeated", "flops", "parameters", "checkpoint_bytes", "sources"};
        each source has
        {"kind", "corpus_tokens", "trained", "phases", "unique", "repeated", "epochs", "max_epochs"}, and "documents",
        "pairs" and "filled" (the share of real tokens in its rows) where there are such, and "displaced", the trained
        tokens that injected passages take the place of; "knowledge" has `injected`. "phases" are its trained
        tokens phase by phase. Tokens of a source of pairs are its rows', padding included. `unique` counts each token
        of a corpus at most once; in a repeated source it may miss the truth by less than a row.
    """
    by_phase = [phase.rows_before(phase.stop) for phase in phases_of(config)]
    sources = {}
    for name in config.sources:
        rows = [phase.get(name, 0) for phase in by_phase]
        sources[name] = _source_budget(config, name, extents[name], rows)
    for name, documents in (source_documents or {}).items():
        sources[name]["documents"] = documents
    for name in config.sources if injected else ():
        sources[name]["displaced"] = injected["displaced"].get(name, 0)
    budget = {
        "steps": config.steps,
        "samples": config.samples,
        "tokens": config.tokens,
        "unique": sum(source["unique"] for source in sources.values()),
        "repeated": sum(source["repeated"] for source in sources.values()),
        "flops": training_flops(config.model, config.tokens, config.batch.sequence_length),
        "parameters": parameters(config.model),
        "checkpoint_bytes": checkpoint_bytes(config),
        "sources": sources,
    }
    return budget | {"knowledge": dict(injected)} if injected else budget


def _source_budget(config: RunConfig, name: str, extent: Extent, rows_by_phase: list[int]) -> dict[str, Any]:
    source, length = config.sources[name], config.batch.sequence_length
    rows, pairs = sum(rows_by_phase), source.kind == "pairs"
    corpus_tokens = extent.rows * length if pairs else extent.size
    trained = rows * length
    unique = trained if rows <= extent.rows else corpus_tokens
    budget = {
        "kind": source.kind,
        "corpus_tokens": corpus_tokens,
        "trained": trained,
        "phases": [phase_rows * length for phase_rows in rows_by_phase],
        "unique": unique,
        "repeated": trained - unique,
        "epochs": round(rows / extent.rows, 4),
        "max_epochs": source.max_epochs,
    }
    if pairs:
        budget |= {"pairs": extent.size, "filled": round(extent.tokens / corpus_tokens, 4)}
    return budget
