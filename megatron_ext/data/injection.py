"""Facts in the batches of a run: an injected passage takes the front of a row, the row's own tokens move back.

    row       r0 r1 r2 r3 r4 r5 r6 r7        passage + end of document   p0 p1 EOS
    becomes   p0 p1 EOS r0 r1 r2 r3 r4       displaced                   r5 r6 r7

The passage is read as a document of the row's own source would be. Where documents of a row see one another, positions
run on and the row may attend to the passage; where they don't (isolated documents, pairs), the passage is a stretch of
its own. Every label of the passage is learnt, its end included. The end opens the row's first token as that of any
document does, unless the row has labels that are not learnt: there, as in pairs, an end opens nothing.

A passage that is longer than a row is cut, and counted. Which row it is, is the plan's business (plan/showings.py).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from data_tools.corpus.manifest import token_settings
from data_tools.errors import InputError
from data_tools.text.tokenizer import HF_MODEL, MODEL, Tokenizer
from megatron_ext.config import KnowledgeConfig, RunConfig
from megatron_ext.data.facts import Facts, read_facts
from megatron_ext.data.rows import Row
from megatron_ext.plan.samples import SamplePlan
from megatron_ext.plan.showings import Showing


@dataclass(frozen=True)
class Passages:
    """The passages of a run as tokens, each ending with the end of a document."""

    tokens: Mapping[tuple[int, int], np.ndarray]
    """(passage, version) -> int64."""
    sequence_length: int

    @classmethod
    def of(cls, config: RunConfig, plan: SamplePlan, corpora: Sequence[Path]) -> Self | None:
        """What a run injects; None where it has no facts.

        Args:
            config: the run.
            plan: its plan.
            corpora: folders of its corpora.

        Raises:
            InputError: the facts can't be read, or lack a passage or paraphrase that is to be shown; or there is no
                tokenizer.
        """
        if config.knowledge is None:
            return None
        facts = read_facts(config.knowledge.facts)
        _require_passages(config.knowledge, facts)
        wanted = sorted({(showing.passage, showing.version) for showing in plan.showings.values()})
        tokenizer, end = tokenizer_of(config, corpora)
        texts = [facts.passages[passage].version(version) for passage, version in wanted]
        encoded = tokenizer.encode(texts) if texts else []
        tokens = {key: np.array([*ids, end], dtype=np.int64) for key, ids in zip(wanted, encoded, strict=True)}
        return cls(tokens, config.batch.sequence_length)

    def __getitem__(self, showing: Showing) -> np.ndarray:
        return self.tokens[showing.passage, showing.version]

    def counts(self, plan: SamplePlan) -> dict[str, Any]:
        """What the run injects and what that displaces, as plain values.

        Returns:
            {"passages", "showings", "tokens", "texts", "cut", "cut_share", "displaced"}: passages that are shown, how
            often in all, their tokens in the batches; passages and paraphrases, how many of these are cut, and the
            share of their tokens that is lost by that; and source -> its tokens that give way.
        """
        displaced: Counter[str] = Counter()
        for sample, showing in plan.showings.items():
            displaced[plan.locate(sample).source] += min(len(self[showing]), self.sequence_length)
        # The last label stands a place beyond the row: so much of a passage is learnt.
        lost = [max(0, len(tokens) - self.sequence_length - 1) for tokens in self.tokens.values()]
        return {
            "passages": len({passage for passage, _ in self.tokens}),
            "showings": len(plan.showings),
            "tokens": displaced.total(),
            "texts": len(lost),
            "cut": sum(map(bool, lost)),
            "cut_share": round(sum(lost) / max(1, sum(map(len, self.tokens.values()))), 4),
            "displaced": dict(sorted(displaced.items())),
        }


def inject(row: Row, passage: np.ndarray) -> Row:
    """The row with a passage at its front; what no longer fits is lost.

    Args:
        row: of any source.
        passage: its tokens and the end of a document, int64.
    """
    size = len(row.tokens_S)
    taken = min(len(passage), size)
    tokens_S = np.concatenate([passage, row.tokens_S])
    mask_S = np.ones(size, dtype=np.float32)
    mask_S[taken:] = row.loss_mask_S[: size - taken]
    if len(passage) <= size:
        mask_S[taken - 1] = row.loss_mask_S.all()
    positions_S, document_S = np.arange(size, dtype=np.int64), None
    if row.document_S is not None:
        positions_S[taken:] = row.positions_S[: size - taken]
        document_S = np.zeros(size, dtype=np.int32)
        document_S[taken:] = row.document_S[: size - taken] + taken
    labels_S = np.concatenate([tokens_S[1 : taken + 1], row.labels_S])[:size]
    return Row(tokens_S[:size], labels_S, mask_S, positions_S, document_S, injected=taken)


def tokenizer_of(config: RunConfig, corpora: Sequence[Path]) -> tuple[Tokenizer, int]:
    """The tokenizer of a run, and the token that ends its documents.

    Args:
        config: the run; its `tokenizer` is taken where it names one.
        corpora: folders of its corpora, beside whose tokens their tokenizer lies.

    Raises:
        InputError: there is none.
    """
    folders = [folder for folder in corpora if any((folder / name).is_file() for name in (MODEL, HF_MODEL))]
    if config.tokenizer is None and not folders:
        raise InputError(
            where="tokenizer", found="no tokenizer: neither the run nor its corpora have one",
            expected="the tokenizer that the corpora were written with", fix="Name its folder with `tokenizer:`.",
        )  # fmt: skip
    # Every rank encodes, and checkpoints are written by forks: no threads.
    tokenizer = Tokenizer.load(config.tokenizer or folders[0], threads=False)
    # Not the tokenizer's own: a corpus may have been written with another end, and its documents end so.
    ends = [settings["eos"] for settings in map(token_settings, corpora) if "eos" in settings]
    return tokenizer, ends[0] if ends else tokenizer.eos


def _require_passages(knowledge: KnowledgeConfig, facts: Facts) -> None:
    for step, shown in knowledge.showings.items():
        for passage, version in shown:
            if passage >= len(facts.passages):
                raise InputError(
                    where=f"{knowledge.facts}, shown at step {step}", found=f"no passage {passage}",
                    expected=f"passages 0 to {len(facts.passages) - 1}", fix="Correct the ranges in knowledge.groups.",
                )  # fmt: skip
            known = len(facts.passages[passage].paraphrases)
            if version > known:
                times = len(knowledge.steps.steps)
                raise InputError(
                    where=f"{knowledge.facts}, row {passage}, key 'paraphrases'", found=f"{known} paraphrases",
                    expected=f"{times - 1}, to be shown {times} times",
                    fix="Add paraphrases, show the passages fewer times, or put this one under groups.duplicated.",
                )  # fmt: skip
