"""Active reading: the model first says how this document could be learnt, then does each of these things.

Without a task it is asked for ways to learn the document. With one it first imagines what it will be asked, writes
<start_strategies>, and then gives ways to prepare for such questions. A strategy begins with a line that starts with
`## `; each is applied to the document on its own and gives a document.

Source: Learning Facts at Scale with Active Reading, both stages.
"""

import re
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from data_tools.synthesis.recipe import Draft, Prompt, Seed, Steps, at_least_one
from data_tools.synthesis.recipes.lead_ins import without_lead_in
from data_tools.synthesis.requests import Sampling

MARKER = "<start_strategies>"
BEGINNING_OF_ONE = re.compile(r"^## ", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class ActiveReading:
    """One ask for the strategies, then one for each of them."""

    name: ClassVar[str] = "active-reading"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "active_reading"
    draws: ClassVar[bool] = False

    task: str = ""
    """What the reader will have to do with the document; empty: learn it, whatever for."""
    most: int | None = None
    """Strategies of a document that are applied; None: all."""
    plan: Prompt | None = None
    """Asks for strategies, with $document, and $task if there is one. None: the one that comes with the program."""
    template: Prompt = field(default_factory=partial(Prompt.of, "active-reading"))
    """Applies one, with $document and $strategy."""
    planning: Sampling = Sampling(temperature=1.0, max_tokens=2048)
    """Of the strategies."""
    sampling: Sampling = Sampling(temperature=1.0, max_tokens=4096)

    def __post_init__(self):
        packaged = "active-reading-task" if self.task else "active-reading-plan"
        # frozen, yet the manifest has to show the template that is used
        object.__setattr__(self, "plan", self.plan or Prompt.of(packaged))
        self.plan.needs("document", *self._about)
        self.template.needs("document", "strategy")
        at_least_one(most=1 if self.most is None else self.most)

    @property
    def _about(self) -> dict[str, str]:
        return {"task": self.task} if self.task else {}

    def write(self, seed: Seed) -> Steps:
        [plan] = yield [self.plan.ask(self.planning, document=seed.text, **self._about)]
        named = [each for each in strategies_of(plan.text) if each not in self.plan.text]  # some repeat the template
        strategies = named[: self.most]
        if plan.finish == "refused" or not strategies:
            return [Draft.of(plan, fault="malformed")]
        answers = yield [self.template.ask(self.sampling, document=seed.text, strategy=each) for each in strategies]
        return [Draft.of(answer, without_lead_in(answer.text)) for answer in answers]


def strategies_of(text: str) -> list[str]:
    """The strategies of an answer, each once: what follows the marker, or all if there is none, parted at `## `."""
    _, marker, after = text.partition(MARKER)
    _, *parts = BEGINNING_OF_ONE.split(after if marker else text)
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))
