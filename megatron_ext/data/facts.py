"""Facts files: passages to be shown to a model, their paraphrases, and probes that ask for what they say. No torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["memorisation", "semantic", "compositional"]
KEYS: dict[Kind, str] = {"memorisation": "mem", "semantic": "gen", "compositional": "hard_gen"}


@dataclass(frozen=True, slots=True)
class Passage:
    """A text with facts that stand nowhere else."""

    number: int
    text: str
    paraphrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """A text to be completed by a fact of a passage."""

    passage: int
    kind: Kind
    prompt: str
    target: str


@dataclass(frozen=True, slots=True)
class Facts:
    """A facts file."""

    passages: tuple[Passage, ...]
    probes: tuple[Probe, ...]


def read_facts(path: Path) -> Facts:
    """The passages and probes of a facts file."""
    passages, probes = [], []
    for number, row in enumerate(json.loads(path.read_text())):
        passages.append(Passage(number, row["train_context"], tuple(row.get("paraphrases", ()))))
        for kind, key in KEYS.items():
            pairs = zip(row[f"{key}_input"], row[f"{key}_target"], strict=True)
            probes += [Probe(number, kind, prompt, target) for prompt, target in pairs]
    return Facts(tuple(passages), tuple(probes))
