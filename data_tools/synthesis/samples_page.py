"""Synthetic documents beside the documents they were made from: one self-contained page, for eyes before money.

What a document took over from its source word for word is marked, and what was dropped stands there with its reason.
Every text from outside goes through jinja2's escaping; no network is needed to read the page.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_tools.files import write_whole
from data_tools.text.shingles import normalised_words

TEMPLATE = Path(__file__).with_suffix(".html.j2")
DROPPED = "dropped_"
"""What the names of counts of dropped documents begin with."""
WORD = re.compile(r"[^\W\d_]+")
MARKED = 8
"""Words in a row of a document that stand in its source, too: as few as are seldom there by chance."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A document of the corpus, and what was made of it."""

    seed_name: str
    seed_text: str
    documents: Sequence[tuple[str, str]]
    """Names and texts of those that were kept."""
    dropped: Sequence[tuple[str, str]] = ()
    """Reasons and texts of those that weren't."""


def write_page(
    path: Path, *, title: str, facts: Mapping[str, str], counts: Mapping[str, int], samples: Sequence[Sample]
) -> None:
    """Write the page.

    Args:
        path: file to write.
        title: of the page.
        facts: what a reader should know of how the documents were made, by name: recipe, model, sampling.
        counts: as the manifest has them: `kept` and `dropped_<reason>` are shown as shares of both, others as they are.
        samples: in the order in which they are shown.
    """
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    reasons = {name.removeprefix(DROPPED): count for name, count in counts.items() if name.startswith(DROPPED)}
    kept = counts.get("kept", 0)
    page = environment.get_template(TEMPLATE.name).render(
        title=title,
        facts=facts,
        kept=kept,
        made=kept + sum(reasons.values()),
        reasons=sorted(((name, count) for name, count in reasons.items() if count), key=lambda entry: -entry[1]),
        others={name: count for name, count in counts.items() if name != "kept" and not name.startswith(DROPPED)},
        samples=samples,
        parts=lambda text, source: list(parts(text, source)),
        marked=MARKED,
    )
    write_whole(path, page)


def parts(text: str, source: str, *, run: int = MARKED) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it stands in the source: runs of `run` words or more, whatever their case.

    The pieces joined are the text.
    """
    known = _runs(normalised_words(source), run)
    found = list(WORD.finditer(text))
    words = [match[0].lower() for match in found]
    shared = [False] * len(words)
    for start in range(len(words) - run + 1):
        if tuple(words[start : start + run]) in known:
            shared[start : start + run] = [True] * run
    at = 0
    for number, match in enumerate(found):
        begins = shared[number] and not (number and shared[number - 1])
        ends = shared[number] and not (number + 1 < len(found) and shared[number + 1])
        if begins:
            yield text[at : match.start()], False
            at = match.start()
        if ends:
            yield text[at : match.end()], True
            at = match.end()
    yield text[at:], False


def _runs(words: Sequence[str], run: int) -> set[tuple[str, ...]]:
    return {tuple(words[start : start + run]) for start in range(len(words) - run + 1)}
