"""What a model finds wrong with a sample of documents: verdicts read strictly, counted, with an interval.

An answer counts if its last line is `Verdict: WORD` with a word of the criterion, and no other line gives another one.
Any other is counted as unparsable and left out of the share. Templates may be edited as long as they ask for that line.

A model that is too small to keep to that judges by likelihood: the verdict is the line that gains most in
log-probability from the texts, over the same prompt with nothing in their place. Without that comparison such a model
says the same of all texts.

Sources: Synthetic Bootstrapped Pretraining, section 4.2 and appendices B.2 and B.3 (what is asked, not its words); Zhao
et al. 2021, Calibrate before use, and Holtzman et al. 2021, Surface form competition (the gain over an empty prompt).
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

from data_tools.errors import InputError
from data_tools.intervals import wilson
from data_tools.quality.asking import Asking, source_text
from data_tools.synthesis.recipe import Draft, Prompt, Seed, Steps
from data_tools.synthesis.requests import Answer, Ask, Sampling

VERDICT = re.compile(r"[\s*_#>`-]*verdict[*_`]*\s*:[\s*_`]*(?P<word>[a-z]+)[\s*_`.]*", re.IGNORECASE)
By = Literal["answer", "likelihood"]
"""How a verdict comes about: written by the model, or found by how likely it is."""
UNPARSABLE, REFUSED = "unparsable", "refused"
SHOWN = 5
"""Answers of each verdict that are kept for the page."""


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One question to the judge."""

    measure: str
    template: Prompt
    verdicts: tuple[str, ...]
    fault: str
    """The verdict whose share is the measure."""
    compares: bool
    """Whether the source is shown too."""
    by: By = "answer"

    def asks(self, sampling: Sampling, *, document: str, source: str) -> list[Ask]:
        """The question about a document; by likelihood, how likely its verdicts are, and are without the texts."""
        asked = self._ask(sampling, document, source)
        if self.by == "answer":
            return [asked]
        lines = tuple(f"Verdict: {word}" for word in self.verdicts)
        return [replace(asked, choices=lines), replace(self._ask(sampling, "", ""), choices=lines, index=1)]

    def draft(self, answers: Sequence[Answer]) -> Draft:
        """What was answered; by likelihood, what each verdict gains in nats, and then the one that gains most."""
        refused = next((answer for answer in answers if answer.finish == "refused"), None)
        if refused or self.by == "answer":
            return Draft.of(refused or answers[0])
        asked, without = (json.loads(answer.text) for answer in answers)
        gains = [after - before for after, before in zip(asked, without, strict=True)]
        lines = [f"{word} {gain:+.3f}" for word, gain in zip(self.verdicts, gains, strict=True)]
        return Draft(text="\n".join([*lines, f"Verdict: {self.verdicts[gains.index(max(gains))]}"]))

    def verdict(self, answer: str) -> str | None:
        """What an answer says; None if that can't be told."""
        lines = [line for line in answer.splitlines() if line.strip()]
        matches = [VERDICT.fullmatch(line) for line in lines]
        words = {match["word"].lower() for match in matches if match}
        if not lines or matches[-1] is None or len(words) != 1:
            return None
        [word] = words
        return word if word in self.verdicts else None

    def _ask(self, sampling: Sampling, document: str, source: str) -> Ask:
        return self.template.ask(sampling, document=document, **({"source": source} if self.compares else {}))


VERDICTS = {
    "non_factual": (("unverifiable", "correct", "wrong"), "wrong", False),
    "pair_irrelevance": (("related", "unrelated"), "unrelated", True),
    "pair_copying": (("copy", "different"), "copy", True),
    "repetition_judged": (("repetitive", "varied"), "repetitive", False),
}
"""Measure -> verdicts, the one that is counted, whether the source is compared."""


def packaged(measure: str, by: By) -> str:
    """Name of the template of a measure among those of `synth templates`: what is weighed is asked for shortly."""
    name = f"judge-{measure.removesuffix('_judged').replace('_', '-')}"
    return name if by == "answer" else f"{name}-short"


def criteria(*, pairs: bool, templates: Mapping[str, str] | None = None, by: By = "answer") -> tuple[Criterion, ...]:
    """What is asked.

    Args:
        pairs: whether the source is known.
        templates: measure -> file of a template of one's own, or name of a packaged one.
        by: how verdicts come about.

    Raises:
        InputError: there is no such measure, or a template can't be used.
    """
    templates = templates or {}
    if unknown := sorted(set(templates) - set(VERDICTS)):
        raise InputError(
            where="template of the judge", found=f"measure {unknown[0]!r}", expected="one of " + ", ".join(VERDICTS),
            fix="Correct the name.",
        )  # fmt: skip
    found = []
    for measure, (verdicts, fault, compares) in VERDICTS.items():
        if compares and not pairs:
            continue
        prompt = Prompt.of(templates.get(measure, packaged(measure, by)))
        prompt.needs("document", *(["source"] if compares else []))
        found.append(
            Criterion(measure=measure, template=prompt, verdicts=verdicts, fault=fault, compares=compares, by=by)
        )
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Judging:
    """The recipe: all criteria about a document at once. Its drafts are the answers, in the order of the criteria."""

    name: ClassVar[str] = "judge"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "synthetic"
    draws: ClassVar[bool] = False

    corpus: Path
    source: Path | None
    asked: tuple[Criterion, ...]
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=512)

    def write(self, seed: Seed) -> Steps:
        source = source_text(self.corpus, self.source, seed.number) if self.source else ""
        asks = [each.asks(self.sampling, document=seed.text, source=source) for each in self.asked]
        answers = iter((yield [ask for own in asks for ask in own]))
        return [each.draft(list(islice(answers, len(own)))) for each, own in zip(self.asked, asks, strict=True)]


@dataclass
class Verdicts:
    """What was said of one criterion."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def add(self, criterion: Criterion, seed: Seed, draft: Draft) -> None:
        """Count an answer; the first few of each verdict are kept."""
        said = REFUSED if draft.fault else criterion.verdict(draft.text) or UNPARSABLE
        self.counts[said] += 1
        if self.counts[said] <= SHOWN:
            found = {"measure": criterion.measure, "verdict": said, "document": seed.name, "number": seed.number}
            self.examples.append(found | {"answer": draft.text})

    def measured(self, criterion: Criterion) -> dict[str, Any]:
        """The share of the readable answers that found the fault."""
        of = sum(self.counts[word] for word in criterion.verdicts)
        count = self.counts[criterion.fault]
        low, high = wilson(count, of)
        return {
            "value": count / of if of else None, "low": low, "high": high, "count": count, "of": of,
            "verdicts": {word: self.counts[word] for word in (*criterion.verdicts, UNPARSABLE, REFUSED)},
        }  # fmt: skip


def judged(
    asking: Asking,
    source: Path | None,
    asked: Sequence[Criterion],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Measures by name, and answers to show.

    Raises:
        EndedEarly: the engine failed or gave requests up; what was answered is kept.
    """
    found = {each.measure: Verdicts() for each in asked}
    recipe = Judging(corpus=asking.corpus, source=source, asked=tuple(asked))
    for seed, drafts in asking.answers(recipe, progress):
        for each, draft in zip(asked, drafts, strict=True):
            found[each.measure].add(each, seed, draft)
    measures = {each.measure: found[each.measure].measured(each) for each in asked}
    return measures, [row for verdicts in found.values() for row in verdicts.examples]
