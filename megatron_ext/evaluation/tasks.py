"""Task files: what is asked of a model, and what is scored by the probability that it gives to the answers. No torch.

A file is JSON lines of one kind, an item a line:

    {"context": "...", "choices": ["...", ...], "answer": 0}       which choice is likeliest after the context
    {"contexts": ["...", ...], "target": "...", "answer": 0}       after which context the target is likeliest
    {"context": "...", "target": "..."}                            how likely the target is: perplexity

Between a context and what follows it stands one space, or the item's `delimiter`. After an empty context the model has
the token that ends documents before it, as every document of a corpus has. `id` names an item.

The tokens of a target are those that context and target together have beyond the context's. An item that is longer than
a row of the run loses its beginning, and is counted. All this is as lm-eval has it, so that numbers can be compared.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_tools.errors import InputError
from data_tools.files import content_hash, require_file
from data_tools.text.tokenizer import Tokenizer
from megatron_ext.knowledge.spans import Span

SPACE = " "
SHAPES = (
    frozenset({"context", "choices", "answer"}),
    frozenset({"contexts", "target", "answer"}),
    frozenset({"context", "target"}),
)
"""Keys of an item, besides `id` and `delimiter`."""


@dataclass(frozen=True, slots=True)
class Item:
    """One question."""

    name: str
    contexts: tuple[str, ...]
    """What stands before each target, the delimiter included."""
    targets: tuple[str, ...]
    """What is scored: each choice, or the one target as often as there are contexts."""
    answer: int | None
    """Number of the right one. None: nothing is chosen."""


@dataclass(frozen=True, slots=True)
class Task:
    """The items of a file."""

    name: str
    kind: Literal["choice", "text"]
    items: tuple[Item, ...]
    hash: str
    """Of the file."""

    @property
    def is_of_words(self) -> bool:
        """Whether each target is one word, as LAMBADA's are: then it counts whether the model would write it."""
        return self.kind == "text" and all(len(target.split()) == 1 for item in self.items for target in item.targets)


def read_task(path: Path, *, most_items: int | None = None) -> Task:
    """The task of a file.

    Args:
        path: JSON lines.
        most_items: so many from the front; None: all.

    Raises:
        InputError: it is missing, or an item is not as the top of this file says.
    """
    require_file(path, fix="Correct the path of the task file.")
    with path.open("rb") as file:
        lines = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
        items = tuple(_item(line, f"{path}:{number}", number) for number, line in islice(lines, most_items))
    if not items:
        raise _refused(str(path), "no items", "an item a line")
    kinds = {"text" if item.answer is None else "choice" for item in items}
    if len(kinds) > 1:
        raise _refused(str(path), "items with an answer and items without", "items of one kind")
    return Task(path.stem, "choice" if "choice" in kinds else "text", items, content_hash(path))


def spans_of(task: Task, tokenizer: Tokenizer, *, most: int) -> tuple[list[Span], int]:
    """Everything that is scored as tokens, item after item and choice after choice; and how many lost their beginning.

    Args:
        task: its items.
        tokenizer: of the model.
        most: tokens of a row; one more is only predicted.

    Raises:
        InputError: the tokenizer has no token for a target.
    """
    asked = [_parted(*pair) for item in task.items for pair in zip(item.contexts, item.targets, strict=True)]
    texts = list(dict.fromkeys(text for before, whole in asked for text in (before, whole)))
    ids = dict(zip(texts, tokenizer.encode(texts), strict=True))
    found, cut = [], 0
    for before, whole in asked:
        context = ids[before] if before else []
        target = ids[whole][len(context) :]
        if not target:
            raise _refused(f"task {task.name}", f"{whole!r}, whose end has no token of its own", "a target with tokens")
        tokens = ((context or [tokenizer.eos]) + target)[-(most + 1) :]
        cut += len(tokens) < max(1, len(context)) + len(target)
        found.append(Span(np.array(tokens, dtype=np.int64), min(len(target), len(tokens) - 1)))
    return found, cut


def _parted(context: str, target: str) -> tuple[str, str]:
    """(context, context and target); spaces at the end of a context belong to what follows it."""
    return context.rstrip(), context + target


def _item(line: bytes, where: str, number: int) -> Item:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise _refused(where, f"no JSON ({error})", "an item") from None
    if not isinstance(row, dict):
        raise _refused(where, f"a {type(row).__name__}", "an item with context and choices, or context and target")
    name, delimiter = str(row.pop("id", number)), row.pop("delimiter", SPACE)
    if frozenset(row) not in SHAPES or not isinstance(delimiter, str):
        shapes = "; ".join(", ".join(sorted(shape)) for shape in SHAPES)
        raise _refused(where, f"the keys {', '.join(sorted(row)) or 'of nothing'}", f"one of: {shapes}")
    contexts = _texts(row, "context" if "context" in row else "contexts", where)
    targets = _texts(row, "target" if "target" in row else "choices", where)
    if not all(targets):
        raise _refused(where, "an empty choice or target", "a text")
    asked = max(len(contexts), len(targets))
    answer = row.get("answer")
    if "answer" in row and not (type(answer) is int and 0 <= answer < asked and asked > 1):
        raise _refused(f"{where}, key 'answer'", f"{answer!r} for {asked} choices", "the number of one of several")
    spaced = tuple(context + delimiter if context else context for context in contexts)
    return Item(name, spaced * (asked // len(spaced)), targets * (asked // len(targets)), answer)


def _texts(row: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    several = key in ("contexts", "choices")
    found: Sequence[Any] = row[key] if several else [row[key]]
    if not isinstance(found, list) or not found or not all(isinstance(text, str) for text in found):
        raise _refused(f"{where}, key '{key}'", repr(row[key])[:80], "a list of texts" if several else "a text")
    return tuple(found)


def _refused(where: str, found: str, expected: str) -> InputError:
    return InputError(where=where, found=found, expected=expected, fix="Correct the task file; see docs/evaluation.md.")
