"""Rephrasing: the same content as a text of another style, in several variants a document.

The style is a template: encyclopedia articles by default, or a textbook, a conversation, a terse text, or your own.
What a model says about its text before the text begins is removed.

Source: megadocs, simple rephrasing: Wikipedia style, temperature 1, at most 1,024 tokens.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from data_tools.synthesis.recipe import Draft, Prompt, Seed, Steps, at_least_one
from data_tools.synthesis.recipes.lead_ins import without_lead_in
from data_tools.synthesis.requests import Sampling


@dataclass(frozen=True, kw_only=True)
class Rephrase:
    """One ask for each variant; all variants of a document have the same prompt and other seeds of sampling."""

    name: ClassVar[str] = "rephrase"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "rephrase"
    draws: ClassVar[bool] = False

    variants: int = 1
    """Documents for each document of the corpus; G in the paper, where it goes up to 32."""
    template: Prompt = field(default_factory=partial(Prompt.of, "rephrase-wikipedia"))
    """With $document."""
    sampling: Sampling = Sampling(temperature=1.0, max_tokens=1024)

    def __post_init__(self):
        at_least_one(variants=self.variants)
        self.template.needs("document")

    def write(self, seed: Seed) -> Steps:
        places = range(self.variants)
        answers = yield [self.template.ask(self.sampling, index=index, document=seed.text) for index in places]
        return [Draft.of(answer, without_lead_in(answer.text)) for answer in answers]
