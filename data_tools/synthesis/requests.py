"""What a model is asked and what it answers, and the id that makes both the same thing on every machine and day.

A request's id is drawn from all that its answer depends on: recipe and version, seed document, template, what else was
put into the template, sampling, model, index, and the choices where there are any. So an answer is never asked for
twice, and never taken for another's. The seed of its sampling comes from the id.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Prompt = str | tuple[int, ...]
"""What the user of a chat model says, or the token ids that a model is to continue."""

Finish = Literal["stop", "length", "refused"]
"""Ended by the model; cut at the length limit; a prompt that the engine can't take, such as one that is too long."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn."""

    temperature: float = 1.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    max_tokens: int = 1024
    """Of an answer; one that has not ended by then is cut."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a recipe wants to know; the driver makes a request of it."""

    prompt: Prompt
    template: str
    """Hash of the template, empty where there is none."""
    sampling: Sampling
    index: int = 0
    """Tells equal prompts of one seed document apart."""
    about: str = ""
    """What stands in the prompt beside document and template: a strategy, a question."""
    choices: tuple[str, ...] = ()
    """Answers that the model is to weigh, none the beginning of another; empty: it writes its own."""


@dataclass(frozen=True, slots=True)
class Request:
    """What an engine gets."""

    id: str
    """32 hexadecimal digits."""
    prompt: Prompt
    sampling: Sampling
    choices: tuple[str, ...] = ()
    """Answers that are weighed: see Ask."""

    @property
    def seed(self) -> int:
        """Of the sampling: 31 bits, which every engine takes."""
        return int(self.id[:8], 16) >> 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine wrote."""

    text: str
    """Without the end token; of a refused request, why."""
    finish: Finish
    prompt_tokens: int = 0
    tokens: int = 0
    """Written, as the engine counts them."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request that an engine gave up on; it is asked again by the next run."""

    reason: str


def request_of(ask: Ask, *, recipe: str, version: int, document: str, draw: int, generator: str) -> Request:
    """The request for an ask.

    Args:
        ask: what the recipe wants.
        recipe: its name.
        version: of the recipe: another one asks anew.
        document: hash of the seed document.
        draw: which of the draws of a seed it is for; documents that are drawn twice are asked twice.
        generator: hash of the model.
    """
    parts: Sequence[object] = (
        recipe, version, document, ask.template, hashlib.blake2b(ask.about.encode()).hexdigest(),
        asdict(ask.sampling), generator, draw, ask.index, *([ask.choices] if ask.choices else []),
    )  # fmt: skip
    name = hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
    return Request(name, ask.prompt, ask.sampling, ask.choices)
