"""Focal rewriting: the model asks questions of a document, then writes a document for each, with that question in view.

Source: Synthetic Mixed Training, focal rewriting: documents at temperature 0.7, top-p 0.95, at most 4,096 tokens.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from data_tools.synthesis.recipe import Draft, Prompt, Seed, Steps, at_least_one
from data_tools.synthesis.recipes.lead_ins import without_lead_in
from data_tools.synthesis.recipes.records import questions_of
from data_tools.synthesis.requests import Sampling


@dataclass(frozen=True, kw_only=True)
class Focal:
    """One ask for the questions, then one for each of them."""

    name: ClassVar[str] = "focal"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "focal"
    draws: ClassVar[bool] = False

    questions: int = 8
    """That are asked for, and the most that are used."""
    plan: Prompt = field(default_factory=partial(Prompt.of, "focal-plan"))
    """Asks for the questions, with $document and $questions."""
    template: Prompt = field(default_factory=partial(Prompt.of, "focal"))
    """Asks for a document, with $document and $question."""
    planning: Sampling = Sampling(temperature=1.0, max_tokens=1024)
    """Of the questions."""
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.95, max_tokens=4096)

    def __post_init__(self):
        at_least_one(questions=self.questions)
        self.plan.needs("document", "questions")
        self.template.needs("document", "question")

    def write(self, seed: Seed) -> Steps:
        [plan] = yield [self.plan.ask(self.planning, document=seed.text, questions=self.questions)]
        questions = questions_of(plan.text)[: self.questions]
        if plan.finish == "refused" or not questions:
            return [Draft.of(plan, fault="malformed")]
        answers = yield [self.template.ask(self.sampling, document=seed.text, question=each) for each in questions]
        return [Draft.of(answer, without_lead_in(answer.text)) for answer in answers]
