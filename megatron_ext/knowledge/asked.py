"""What a run asks its model: facts, tokenizer and schedule put together. No torch.

The same whoever asks: the command line before anything is started, and every rank.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from data_tools.files import content_hash
from megatron_ext.config import KnowledgeConfig, RunConfig
from megatron_ext.data.facts import read_facts
from megatron_ext.data.injection import tokenizer_of
from megatron_ext.data.sources import corpus_folders, open_sources
from megatron_ext.knowledge.record import Asked, require_same
from megatron_ext.knowledge.spans import Span, spans


@dataclass(frozen=True)
class Questions:
    """The probes of a run."""

    spans: list[Span]
    """Of each probe, in the order of the facts file."""
    asked: Asked
    """The same for the record."""


def questions_of(config: RunConfig, knowledge: KnowledgeConfig, run: Path) -> Questions:
    """What the run in this folder asks.

    Raises:
        InputError: facts, probes or tokenizer can't be used, or the folder holds answers to other probes.
    """
    facts = read_facts(knowledge.facts)
    tokenizer, _ = tokenizer_of(config, corpus_folders(open_sources(config)))
    found, group_of = spans(facts.probes, tokenizer, path=knowledge.facts), knowledge.group_of
    described = [
        asdict(probe) | {"group": group_of.get(probe.passage), "target_tokens": span.target}
        for probe, span in zip(facts.probes, found, strict=True)
    ]
    asked = Asked(
        probes=described,
        shown=knowledge.shown,
        tokens_per_step=config.batch.tokens_per_step,
        facts=content_hash(knowledge.facts),
    )
    require_same(run, asked)
    return Questions(found, asked)


def require_askable(config: RunConfig, run: Path) -> None:
    """Refuse a run whose probes can't be asked, before it is started; a run without any is fine.

    Raises:
        InputError: as for `questions_of`.
    """
    if config.knowledge is not None:
        questions_of(config, config.knowledge, run)
