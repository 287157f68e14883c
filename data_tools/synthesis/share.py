"""What one worker does of a synthesis: asks for the answers of its parts of the ledger, then makes documents of them.

The documents follow from the answers alone, part by part, in the order of the seeds: who asked, when, and how often it
was interrupted leaves no trace in them.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.assembly import PartWriter
from data_tools.corpus.indexed import token_dtype
from data_tools.corpus.origins import ORIGIN
from data_tools.errors import EndedEarly
from data_tools.files import flush
from data_tools.lines import lines_writer
from data_tools.synthesis.driver import Driver
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.filters import Filters
from data_tools.synthesis.ledger import Ledger, LedgerPart
from data_tools.synthesis.recipe import Draft, Recipe, Seed
from data_tools.synthesis.seeds import Seeds
from data_tools.synthesis.writing import Writing

ORIGINS, DROPPED, SAMPLES = "origins.bin", "dropped.jsonl.zst", "samples.jsonl.zst"
"""Of a part, beside its tokens."""

DAMAGED = "damaged_answers"
"""Count of lines of the ledger that were asked again."""

SHOWN = 20
"""Seeds of each part beside what was made of them, for samples."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """work(parts, folder) for `run_shards`; parts: (numbers of parts, folder of the parts)."""

    corpus: Path
    recipe: Recipe
    engine: EngineChoice
    generator: str
    """Hash of the model."""
    filters: Filters
    ledger: Path
    documents: int | None
    goal: int | None
    """Tokens that each part has to bring."""
    seed: int
    progress: Callable[[int], None] | None = None

    def __call__(self, given: tuple[tuple[int, ...], Path], _folder: Path) -> dict[str, Any]:
        parts, folder = given
        ledger = Ledger(self.ledger)
        seeds = Seeds(self.corpus, draws=self.recipe.draws, limit=self.documents, seed=self.seed)
        maker = Maker(self.recipe, self.filters, seeds)
        driver = Driver(self.recipe, self.generator, self.engine.open, maker.worth, self.progress)
        counts: Counter[str] = Counter()
        for part in driver.ask(ledger, parts, seeds, self.goal):
            with LedgerPart(ledger.file(part), writing=False) as answers:
                writings = _replayed(self.recipe, self.generator, answers, seeds.of_part(part, ledger.parts))
                counts.update(maker.write(writings, folder / f"{part:04d}", self.goal))
                counts[DAMAGED] += answers.damaged
        return dict(counts)


def _replayed(recipe: Recipe, generator: str, answers: LedgerPart, seeds: Iterator[Seed]) -> Iterator[Writing]:
    """The seeds of a part, finished, with the answers that they got."""
    for seed in seeds:
        writing = Writing(recipe, seed, generator)
        if writing.advance(answers.get):
            raise EndedEarly(
                f"an answer about document {seed.name} has gone: run the same command again to ask for it."
            )
        yield writing


class Maker:
    """Makes documents of drafts: filters, names and encodes them."""

    def __init__(self, recipe: Recipe, filters: Filters, seeds: Seeds):
        self._recipe, self._filters = recipe, filters
        self._tokenizer = seeds.tokenizer

    def worth(self, writing: Writing) -> int:
        """Tokens that a seed brings, end tokens among them."""
        texts = [draft.text for draft, reason in self._judged(writing) if not reason]
        return int(self._tokenizer.encode_joined(texts)[1].sum()) + len(texts) if texts else 0

    def write(self, writings: Iterator[Writing], folder: Path, goal: int | None) -> Counter[str]:
        """Write one part; stops at the first seed with which it brings `goal` tokens. Returns counts."""
        folder.mkdir(parents=True, exist_ok=True)
        counts: Counter[str] = Counter()
        with (
            PartWriter(folder, token_dtype(self._tokenizer.vocabulary)) as part,
            (folder / ORIGINS).open("wb") as origins,
            lines_writer(folder / DROPPED) as drop,
            lines_writer(folder / SAMPLES) as show,
        ):
            while goal is None or counts["tokens"] < goal:
                writing = next(writings, None)
                if writing is None:
                    break
                rows = [(self._name(writing, place), *row) for place, row in enumerate(self._judged(writing))]
                kept = [(name, draft) for name, draft, reason in rows if not reason]
                counts.update(_counted(writing, rows))
                if kept:
                    counts["tokens"] += self._add(part, kept)
                    origins.write(np.array([(writing.seed.number, draft.position) for _, draft in kept], ORIGIN))
                for name, draft, reason in rows:
                    if reason:
                        drop({"id": name, "reason": reason, "text": draft.text})
                if counts["seeds"] <= SHOWN:
                    show(_sample(writing.seed, rows))
        for path in folder.iterdir():
            flush(path)
        return counts

    def _judged(self, writing: Writing) -> list[tuple[Draft, str | None]]:
        """The drafts of a seed, each with the reason to drop it, if there is one."""
        return [(draft, self._filters.reason(draft, writing.seed.text)) for draft in writing.drafts or ()]

    def _add(self, part: PartWriter, kept: list[tuple[str, Draft]]) -> int:
        ids, lengths = self._tokenizer.encode_joined([draft.text for _, draft in kept])
        part.add(np.insert(ids, np.cumsum(lengths), self._tokenizer.eos), lengths + 1, [name for name, _ in kept])
        return int(lengths.sum()) + len(kept)

    def _name(self, writing: Writing, place: int) -> str:
        """Of the page that the seed is of, and of nothing else in the world."""
        seed, recipe = writing.seed, self._recipe
        draw = f"-{seed.draw}" if recipe.draws else ""
        return f"{seed.name}{'.' if '#' in seed.name else '#'}{recipe.name}{draw}-{place}"


def _counted(writing: Writing, rows: list[tuple[str, Draft, str | None]]) -> Counter[str]:
    counts: Counter[str] = Counter(f"dropped_{reason}" for _, _, reason in rows if reason)
    counts.update(
        seeds=1, drafts=len(rows), kept=sum(not reason for _, _, reason in rows),
        truncated=sum(draft.truncated for _, draft, _ in rows), requests=writing.requests, refused=writing.refused,
        prompt_tokens=writing.prompt_tokens, generated_tokens=writing.generated_tokens,
    )  # fmt: skip
    return counts


def _sample(seed: Seed, rows: list[tuple[str, Draft, str | None]]) -> dict[str, Any]:
    return {
        "seed_name": seed.name, "seed_text": seed.text,
        "documents": [{"name": name, "text": draft.text} for name, draft, reason in rows if not reason],
        "dropped": [{"reason": reason, "text": draft.text} for _, draft, reason in rows if reason],
    }  # fmt: skip
