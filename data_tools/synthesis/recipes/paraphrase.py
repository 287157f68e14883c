"""Paraphrasing, the papers' baseline: the same content in the same order and length, in other words."""

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from data_tools.synthesis.recipe import Prompt
from data_tools.synthesis.recipes.rephrase import Rephrase
from data_tools.synthesis.requests import Sampling


@dataclass(frozen=True, kw_only=True)
class Paraphrase(Rephrase):
    """Asks as Rephrase does, with a template that keeps the style."""

    name: ClassVar[str] = "paraphrase"
    kind: ClassVar[str] = "paraphrase"

    template: Prompt = field(default_factory=partial(Prompt.of, "paraphrase"))
    """With $document."""
    sampling: Sampling = Sampling(temperature=1.0, max_tokens=4096)
