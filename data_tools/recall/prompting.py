"""What a model is asked about a question, and what is read from its answer. Texts to texts.

The templates come with the program (`megatron-ext synth templates` lists them and writes them out) and may be edited.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from data_tools.recall.questions import Question
from data_tools.synthesis.recipe import Prompt

LABEL = re.compile(r"^(?:answer|a)\s*:\s*", re.IGNORECASE)
"""That a chat model repeats before its answer."""
VERDICT = re.compile(r"^[\s*_>]*verdict\s*:[\s*_]*(?P<word>correct|incorrect)[\s*_.]*$", re.IGNORECASE | re.MULTILINE)
BETWEEN_ANSWERS = " | "
"""In the prompt of a judge, which no answer is likely to hold."""


@dataclass(frozen=True, kw_only=True)
class Templates:
    """Of the prompts."""

    closed_book: Prompt = field(default_factory=partial(Prompt.of, "recall-closed-book"))
    """With $question, and $examples where there are to be any."""
    rag: Prompt = field(default_factory=partial(Prompt.of, "recall-rag"))
    """With $question and $documents, and $examples where there are to be any."""
    judge: Prompt = field(default_factory=partial(Prompt.of, "recall-judge"))
    """With $question, $right and $given."""

    def __post_init__(self):
        self.closed_book.needs("question", may=("examples",))
        self.rag.needs("question", "documents", may=("examples",))
        self.judge.needs("question", "right", "given")


def shown(examples: Sequence[Question]) -> str:
    """Questions with their first answers, as they stand before the one that is asked; ends with an empty line."""
    return "".join(f"Question: {example.text}\nAnswer: {example.answers[0]}\n\n" for example in examples)


def judged(template: Prompt, question: Question, given: str) -> str:
    """What a judge is asked about an answer."""
    return template.fill(question=question.text, right=BETWEEN_ANSWERS.join(question.answers), given=given)


def answer_of(text: str) -> str:
    """The answer in what a model wrote: its first line that isn't empty.

    A model that goes on would go on with questions of its own; what it writes after the line break is no answer.
    """
    lines = text.strip().splitlines()
    return LABEL.sub("", lines[0].strip()).strip() if lines else ""


def verdict_of(text: str) -> bool | None:
    """Whether a judge found the answer correct; None unless it says so in one line, and in that one only."""
    found = [match["word"].lower() for match in VERDICT.finditer(text)]
    return found[0] == "correct" if len(found) == 1 else None
