"""Synthetic bootstrapped pretraining: d2 ~ p(d2 | d1), from a synthesizer that was tuned on pairs.

Seeds are drawn uniformly with replacement. The prompt is the seed's tokens with the token that ends it, as in tuning;
what the synthesizer writes until it ends the document itself is d2.

Source: Synthetic Bootstrapped Pretraining, synthesis: temperature 1, top-p 0.9.
"""

from dataclasses import dataclass
from typing import ClassVar

from data_tools.synthesis.recipe import Draft, Seed, Steps, at_least_one
from data_tools.synthesis.requests import Ask, Sampling


@dataclass(frozen=True, kw_only=True)
class SBP:
    """Asks with the seed's token ids; there is no template."""

    name: ClassVar[str] = "sbp"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "synthetic"
    draws: ClassVar[bool] = True

    variants: int = 1
    """Documents for each seed that is drawn."""
    sampling: Sampling = Sampling(temperature=1.0, top_p=0.9, max_tokens=4096)

    def __post_init__(self):
        at_least_one(variants=self.variants)

    def write(self, seed: Seed) -> Steps:
        answers = yield [Ask(seed.ids, "", self.sampling, index) for index in range(self.variants)]
        return [Draft.of(answer) for answer in answers]
