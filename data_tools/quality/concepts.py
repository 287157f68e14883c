"""What synthetic documents share with their sources: a concept, its domain and type, and the relation of the two.

A model fills in a form of six lines for each document of a sample. A form counts if every line is there once and is not
too long, and domain, type and relation are of the lists that it was given; any other is counted as malformed.

Source: Synthetic Bootstrapped Pretraining, appendix B.1: the kinds of concepts and relations that it tells apart.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from data_tools.corpus.manifest import Manifest, run_step
from data_tools.errors import InputError
from data_tools.intervals import wilson
from data_tools.lines import write_lines
from data_tools.quality.asking import Asking, source_text
from data_tools.quality.documents import require_source
from data_tools.quality.page import write_concepts_page
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.recipe import Draft, Prompt, Seed, Steps
from data_tools.synthesis.requests import Sampling

DOMAINS = (
    "culture", "health", "technology", "politics", "psychology", "science", "business", "education", "law", "history",
    "sports", "entertainment", "travel", "environment", "religion", "other",
)  # fmt: skip
TYPES = (
    "method", "event", "comparison", "analysis", "phenomenon", "theory", "person", "place", "organisation", "object",
    "rule", "problem", "other",
)  # fmt: skip
RELATIONS = ("scope", "perspective", "function", "cause", "contrast", "time", "continuation", "restatement", "other")

FORM = ("first", "concept", "second", "domain", "type", "relation")
CHOSEN = ("domain", "type", "relation")
"""Lines whose words are of a list."""
MOST_WORDS = 15
"""Of a line; ten are asked for, and models count badly."""
LINE = re.compile(r"[\s*_#>-]*(?P<name>[a-z]+)[*_]*\s*:[\s*_]*(?P<value>.*?)[\s*_]*", re.IGNORECASE)
SHOWN = 20
RECORDS, FIGURES, PAGE = "concepts.jsonl", "concepts.json", "concepts.html"
MALFORMED = "malformed"


@dataclass(frozen=True, kw_only=True)
class Concepts:
    """The recipe: one form for each document; its draft is the answer."""

    name: ClassVar[str] = "concepts"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "synthetic"
    draws: ClassVar[bool] = False

    corpus: Path
    source: Path
    template: Prompt = field(default_factory=partial(Prompt.of, "concepts"))
    """With $document, $source, and the lists $domains, $types and $relations."""
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=256)

    def __post_init__(self):
        self.template.needs("document", "source", may=("domains", "types", "relations"))

    def write(self, seed: Seed) -> Steps:
        lists = {"domains": DOMAINS, "types": TYPES, "relations": RELATIONS}
        about = {name: ", ".join(words) for name, words in lists.items() if name in self.template.names}
        source = source_text(self.corpus, self.source, seed.number)
        (answer,) = yield [self.template.ask(self.sampling, document=seed.text, source=source, **about)]
        return [Draft.of(answer)]


def record_of(answer: str) -> dict[str, str] | None:
    """The form that an answer is; None if it is none.

    Lines that don't begin with a name of the form are passed over; each of its lines has to be there exactly once.
    """
    record: dict[str, str] = {}
    for line in answer.splitlines():
        found = LINE.fullmatch(line)
        name = found["name"].lower() if found else ""
        if not found or name not in FORM:
            continue
        if name in record:
            return None
        value = found["value"]
        record[name] = value.rstrip(".").lower() if name in CHOSEN else value
    lists = {"domain": DOMAINS, "type": TYPES, "relation": RELATIONS}
    if set(record) != set(FORM) or not all(0 < len(value.split()) <= MOST_WORDS for value in record.values()):
        return None
    return record if all(record[name] in words for name, words in lists.items()) else None


def concepts(
    corpus: Path,
    output: Path,
    *,
    source: Path,
    engine: EngineChoice,
    sample: int = 1000,
    template: str | None = None,
    seed: int = 1234,
    ledger: Path | None = None,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Ask what documents and their sources share, and count domains, types and relations.

    Args:
        corpus: synthetic corpus.
        output: folder to make: `concepts.jsonl`, `concepts.json`, `concepts.html`.
        source: corpus that it was made of.
        engine: the model that is asked.
        sample: documents.
        template: file of a prompt of one's own.
        seed: of the sample.
        ledger: folder of the answers; beside the output if None.
        replace: remove an output that other inputs or settings made; the ledger stays.
        progress: called with (documents done, documents in all).

    Raises:
        InputError: an input can't be used, or no answer is a form.
        EndedEarly: the engine failed or gave requests up; what was answered is kept.
    """
    require_source(corpus, source)
    recipe = Concepts(corpus=corpus, source=source, **({"template": Prompt.of(template)} if template else {}))
    folder = ledger or output.with_name(output.name + ".ledger")
    asking = Asking(corpus=corpus, engine=engine, sample=sample, seed=seed, ledger=folder)
    name, content = asking.model

    def build(scratch: Path) -> dict[str, Any]:
        records, malformed = list[dict[str, Any]](), 0
        for asked, drafts in asking.answers(recipe, progress):
            record = None if drafts[0].fault else record_of(drafts[0].text)
            malformed += record is None
            if record:
                origin = source_text(corpus, source, asked.number)
                records.append({"document": asked.name, **record, "text": asked.text, "source": origin})
        if not records:
            raise InputError(
                where=f"{malformed} answers of {name}", found="none that has all lines of the form",
                expected="at least one", fix="Look at the answers in the ledger; name another --model or --template.",
                keeps_work=True,
            )  # fmt: skip
        figures = {"corpus": corpus.name, "model": name, "asked": len(records) + malformed, "read": len(records),
                   MALFORMED: malformed} | counted(records)  # fmt: skip
        write_lines(scratch / RECORDS, ({key: row[key] for key in ("document", *FORM)} for row in records))
        write_concepts_page(scratch / PAGE, scratch / FIGURES, figures, records[:SHOWN])
        return {key: figures[key] for key in ("asked", "read", MALFORMED)}

    settings = {
        "model": {"name": name, "hash": content}, "sample": sample, "seed": seed, "version": recipe.version,
        "template": recipe.template.text, "lists": [DOMAINS, TYPES, RELATIONS],
    }  # fmt: skip
    return run_step(
        output, step="concepts", inputs={"corpus": corpus, "source": source}, settings=settings, build=build,
        replace=replace,
    )  # fmt: skip


def counted(records: Sequence[Mapping[str, str]]) -> dict[str, list[dict[str, Any]]]:
    """Domains, types and relations, the most frequent first, each with its share, interval and some concepts."""
    found = {}
    for name in CHOSEN:
        rows = []
        for word, count in Counter(record[name] for record in records).most_common():
            low, high = wilson(count, len(records))
            examples = list(dict.fromkeys(record["concept"] for record in records if record[name] == word))[:3]
            rows.append({"name": word, "count": count, "share": count / len(records), "low": low, "high": high,
                         "examples": examples})  # fmt: skip
        found[name + "s"] = rows
    return found
