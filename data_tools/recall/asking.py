"""Prompts to answers, in order, through an engine and its ledger: what was answered is never asked for again.

An answer depends on the prompt, the sampling and the model alone. So a ledger may be shared by many models and many
sets of questions, and two sets with a question in common ask it once.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

from data_tools.files import text_hash
from data_tools.synthesis.asking import drafts_of
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.recipe import Draft, Steps
from data_tools.synthesis.requests import Ask, Prompt, Sampling
from data_tools.text.tokenizer import HF_CONFIG, HF_MODEL, Tokenizer


@dataclass(frozen=True)
class Item:
    """A prompt, in the place of a seed document."""

    number: int
    prompt: Prompt
    draw: int = 0

    @cached_property
    def hash(self) -> str:
        return text_hash(json.dumps(self.prompt))


@dataclass(frozen=True)
class Items:
    """All prompts, dealt to the parts of a ledger."""

    prompts: Sequence[Prompt]

    def of_part(self, part: int, parts: int) -> Iterator[Item]:
        return (Item(number, self.prompts[number]) for number in range(part, len(self.prompts), parts))


@dataclass(frozen=True)
class AskOnce:
    """The recipe: a prompt is asked, and its answer is the draft."""

    name: ClassVar[str] = "recall"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "qa"
    draws: ClassVar[bool] = False

    sampling: Sampling

    def write(self, seed: Any) -> Steps:
        (answer,) = yield [Ask(seed.prompt, "", self.sampling)]
        return [Draft.of(answer)]


def ask_all(
    prompts: Sequence[Prompt],
    *,
    sampling: Sampling,
    engine: EngineChoice,
    ledger: Path,
    progress: Callable[[int, int], None] | None = None,
) -> list[Draft]:
    """The answers, in the order of the prompts; one that the engine refused has the fault "refused".

    Args:
        prompts: texts, which a chat model is told by its template and another one continues, or token ids.
        sampling: how tokens are drawn.
        engine: the model, and what runs it. It is opened only if something has to be asked.
        ledger: folder of the answers.
        progress: called with (prompts done, prompts in all).

    Raises:
        InputError: the model can't be loaded, or the server doesn't have it.
        EndedEarly: the engine failed or gave requests up; what was answered is kept.
    """
    found = drafts_of(
        AskOnce(sampling), Items(prompts), expected=len(prompts), engine=engine, ledger=ledger, progress=progress,
    )  # fmt: skip
    drafts = {item.number: draft for item, [draft] in found}
    return [drafts[number] for number in range(len(prompts))]


def continued(texts: Sequence[str], tokenizer: Path) -> list[Prompt]:
    """Texts as token ids, with whatever begins a text of this tokenizer: a model continues them, template or not.

    Raises:
        InputError: there is no tokenizer.
    """
    encode = _encoder(tokenizer)
    return [tuple(encode(text)) for text in texts]


@lru_cache(maxsize=1)
def _encoder(folder: Path) -> Callable[[str], list[int]]:
    if not any((folder / name).is_file() for name in (HF_MODEL, HF_CONFIG)):
        plain = Tokenizer.load(folder)
        return lambda text: plain.encode([text])[0]
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True).encode
