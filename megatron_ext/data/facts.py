"""Facts to be injected and asked for: passages, their paraphrases, and probes, from one file. No torch.

A file is a JSON list, or JSON lines (`.jsonl`), of objects; a passage's number is its row, counted from 0:

    train_context                          the passage
    paraphrases                            list of it in other words; may be missing
    mem_input, mem_target                  lists of equal length: prompts and what continues them (memorisation)
    gen_input, gen_target                  the same in other words (semantic generalisation)
    hard_gen_input, hard_gen_target        what follows from the passage (compositional generalisation)

A kind of probe may be missing. Anything else that is not as above is refused, with its file, row and key.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from data_tools.files import require_file

KINDS = {"mem": "memorisation", "gen": "semantic", "hard_gen": "compositional"}
"""Beginning of a probe's keys -> its kind."""

PASSAGE, PARAPHRASES = "train_context", "paraphrases"
KEYS = (PASSAGE, PARAPHRASES, *(f"{kind}_{part}" for kind in KINDS for part in ("input", "target")))


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that states facts."""

    number: int
    text: str
    paraphrases: tuple[str, ...] = ()

    def version(self, version: int) -> str:
        """The text itself (0), or its n-th paraphrase."""
        return self.paraphrases[version - 1] if version else self.text


@dataclass(frozen=True, slots=True)
class Probe:
    """A prompt, and what continues it for whoever knows the fact."""

    passage: int
    kind: str
    """"memorisation", "semantic" or "compositional"."""
    prompt: str
    target: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file of facts holds."""

    passages: tuple[Passage, ...]
    probes: tuple[Probe, ...]
    """By passage, then by kind as above, then in the order of the file."""


def read_facts(path: Path) -> Facts:
    """The facts of a file.

    Raises:
        InputError: it is missing, or something in it is not as the top of this file says.
    """
    passages, probes = [], []
    for number, row in enumerate(_rows(path)):
        where = f"{path}, row {number}"
        _require_known(row, where)
        if PASSAGE not in row:
            raise _refused(f"{where}, key '{PASSAGE}'", "no such key", "the passage")
        text = _text(row[PASSAGE], f"{where}, key '{PASSAGE}'")
        passages.append(Passage(number, text, _texts(row, PARAPHRASES, where)))
        probes += _probes(row, number, where)
    if not probes:
        raise _refused(str(path), "no probes" if passages else "no rows", "passages with probes")
    return Facts(tuple(passages), tuple(probes))


def _rows(path: Path) -> list[Any]:
    """The rows of a file, whatever they are."""
    require_file(path, fix="Correct the path; it is relative to the run file.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _refused(str(path), f"bytes that are no UTF-8 ({error.reason})", "JSON in UTF-8") from None
    if path.suffix == ".jsonl":
        return [_parsed(line, path, number) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    rows = _parsed(text, path, 1)
    if not isinstance(rows, list):
        raise _refused(str(path), f"a {type(rows).__name__}", "a list of rows (JSON lines end in .jsonl)")
    return rows


def _parsed(text: str, path: Path, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise _refused(f"{path}:{line}", f"no JSON ({error.msg})", "a list of rows, or a row a line") from None


def _require_known(row: Any, where: str) -> None:
    if not isinstance(row, dict):
        raise _refused(where, f"a {type(row).__name__}", f"an object with {', '.join(KEYS)}")
    unknown = next((key for key in row if key not in KEYS), None)
    if unknown is not None:
        raise _refused(f"{where}, key '{unknown}'", "an unknown key", f"one of {', '.join(KEYS)}")


def _probes(row: dict[str, Any], passage: int, where: str) -> Iterator[Probe]:
    for begin, kind in KINDS.items():
        prompts, targets = (_texts(row, f"{begin}_{part}", where) for part in ("input", "target"))
        if len(prompts) != len(targets):
            raise _refused(
                f"{where}, keys '{begin}_input' and '{begin}_target'", f"{len(prompts)} and {len(targets)}",
                "as many targets as prompts",
            )  # fmt: skip
        yield from (Probe(passage, kind, prompt, target) for prompt, target in zip(prompts, targets, strict=True))


def _texts(row: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    found = row.get(key, [])
    if not isinstance(found, list):
        raise _refused(f"{where}, key '{key}'", f"a {type(found).__name__}", "a list of texts")
    return tuple(_text(text, f"{where}, key '{key}', entry {place}") for place, text in enumerate(found))


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _refused(where, "an empty text" if isinstance(value, str) else f"a {type(value).__name__}", "a text")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _refused(where, "half of a surrogate pair", "whole characters")
    return value


def _refused(where: str, found: str, expected: str) -> InputError:
    return InputError(where=where, found=found, expected=expected, fix="Correct the file of facts there.")
