"""Questions with answers and explanations, all of what one answer lists parsed into documents of one question each.

Source: Synthetic Mixed Training, synthetic QA: temperature 1, top-p 1.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from data_tools.synthesis.recipe import Draft, Prompt, Seed, Steps, at_least_one
from data_tools.synthesis.recipes.records import records_of
from data_tools.synthesis.requests import Answer, Sampling


@dataclass(frozen=True, kw_only=True)
class QA:
    """One ask for each variant; a record that lacks a part of the layout is malformed."""

    name: ClassVar[str] = "qa"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "qa"
    draws: ClassVar[bool] = False

    questions: int = 8
    """That an answer is asked to have."""
    variants: int = 1
    """Answers for each document."""
    template: Prompt = field(default_factory=partial(Prompt.of, "qa"))
    """With $document and $questions."""
    layout: Prompt = field(default_factory=partial(Prompt.of, "qa-layout"))
    """Of a document, with $question and $answer, and $explanation if it is to have one."""
    sampling: Sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=2048)

    def __post_init__(self):
        at_least_one(questions=self.questions, variants=self.variants)
        self.template.needs("document", "questions")
        self.layout.needs("question", "answer", may=("explanation",))

    def write(self, seed: Seed) -> Steps:
        about = {"document": seed.text, "questions": self.questions}
        answers = yield [self.template.ask(self.sampling, index=index, **about) for index in range(self.variants)]
        return list(dict.fromkeys(draft for answer in answers for draft in self._documents(answer)))  # each once

    def _documents(self, answer: Answer) -> list[Draft]:
        documents = [self._document(record) for record in records_of(answer.text)]
        if answer.finish == "refused" or not documents:
            return [Draft.of(answer, fault="malformed")]
        documents[-1] = replace(documents[-1], truncated=answer.finish == "length")
        return documents

    def _document(self, record: dict[str, str]) -> Draft:
        if all(record[name] for name in self.layout.names):
            return Draft(text=self.layout.fill(**record))
        return Draft(text="\n".join(record.values()), fault="malformed")
