"""Latent thoughts: what a reader who knows what came before could think that leads to what comes next.

A document is cut into G + 1 fragments of equal tokens. At each of the G cuts the model is shown what stands before and
after it, and writes the thought between. A thought is kept with its position, so that the document with its thoughts in
place is put together when it is read, and no token of the document is stored twice.

Source: megadocs, latent thoughts: temperature 1, at most 1,024 tokens, thoughts wrapped in tags.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from data_tools.synthesis.recipe import Draft, Prompt, Seed, Steps, at_least_one
from data_tools.synthesis.recipes.lead_ins import without_lead_in
from data_tools.synthesis.requests import Answer, Sampling

HALF_A_CHARACTER = "\ufffd"
"""What a character becomes whose bytes a cut parts."""


@dataclass(frozen=True, kw_only=True)
class LatentThoughts:
    """One ask for each cut."""

    name: ClassVar[str] = "latent-thoughts"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "thought"
    draws: ClassVar[bool] = False

    thoughts: int = 4
    """For each document; G in the paper, where it goes up to 32. Documents of fewer tokens than that have fewer."""
    before: int = 1024
    """Tokens before a cut that the model is shown."""
    after: int = 256
    """Tokens after a cut that the model is shown."""
    open_tag: str = "<thought>"
    close_tag: str = "</thought>"
    template: Prompt = field(default_factory=partial(Prompt.of, "latent-thoughts"))
    """With $prefix and $suffix."""
    sampling: Sampling = Sampling(temperature=1.0, max_tokens=1024)

    def __post_init__(self):
        at_least_one(thoughts=self.thoughts, before=self.before, after=self.after)
        self.template.needs("prefix", "suffix")

    def write(self, seed: Seed) -> Steps:
        ids = seed.ids[:-1]
        cuts = cuts_of(len(ids), self.thoughts)
        prefixes = [_shown(seed, ids[max(0, cut - self.before) : cut]) for cut in cuts]
        suffixes = [_shown(seed, ids[cut : cut + self.after]) for cut in cuts]
        answers = yield [
            self.template.ask(self.sampling, index=index, document=seed.text, prefix=prefix, suffix=suffix)
            for index, (prefix, suffix) in enumerate(zip(prefixes, suffixes, strict=True))
        ]
        return [
            Draft.of(answer, self._wrapped(answer), position=cut) for answer, cut in zip(answers, cuts, strict=True)
        ]

    def _wrapped(self, answer: Answer) -> str:
        thought = without_lead_in(answer.text).strip()
        return f"{self.open_tag}{thought}{self.close_tag}" if thought else ""


def cuts_of(tokens: int, cuts: int) -> list[int]:
    """Tokens before each of up to `cuts` cuts that part a document into fragments that differ by one token at most."""
    cuts = min(cuts, tokens - 1)
    return [tokens * number // (cuts + 1) for number in range(1, cuts + 1)]


def _shown(seed: Seed, ids: Sequence[int]) -> str:
    return seed.tokenizer.decode(ids).strip(HALF_A_CHARACTER)
