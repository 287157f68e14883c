"""Synthesis: a corpus, a recipe and a model -> a corpus of new documents, each with the document that it came from.

    seeds ─▶ requests ─▶ engine ─▶ ledger ─▶ drafts ─▶ filters ─▶ corpus

Answers are kept in a ledger beside the output, which no run ever empties: a run that is killed, or that is made again
with other filters, more documents or a larger budget, asks only for what isn't there. Any number of workers makes the
same corpus of the same answers.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from data_tools.corpus.assembly import assemble
from data_tools.corpus.groups import KINDS
from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus, token_dtype
from data_tools.corpus.manifest import Manifest, run_step
from data_tools.corpus.origins import write_origins
from data_tools.errors import InputError
from data_tools.files import SHARDS, join_files
from data_tools.lines import read_lines, write_lines
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.filters import Filters
from data_tools.synthesis.ledger import Ledger
from data_tools.synthesis.recipe import Prompt, Recipe
from data_tools.synthesis.samples_page import Sample, write_page
from data_tools.synthesis.share import DAMAGED, DROPPED, ORIGINS, SAMPLES, SHOWN, Share
from data_tools.text.tokenizer import Tokenizer
from data_tools.workers import HERE, Team, run_shards

TOKENS_OF_A_REQUEST = 500
"""That it brings to a budget, before anything is known: decides on the number of a ledger's parts."""

ALWAYS_COUNTED = (
    "seeds", "drafts", "kept", "truncated", "requests", "refused", "prompt_tokens", "generated_tokens",
)  # fmt: skip


def synthesize(
    corpus: Path,
    output: Path,
    *,
    recipe: Recipe,
    engine: EngineChoice,
    filters: Filters,
    documents: int | None = None,
    budget_tokens: int | None = None,
    seed: int = 1234,
    ledger: Path | None = None,
    replace: bool = False,
    crew: Team = HERE,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Write new documents.

    Args:
        corpus: corpus folder that seeds are taken from; it holds its own tokenizer.
        output: corpus folder to make.
        recipe: what the model is asked about each seed.
        engine: the model, and what runs it.
        filters: which drafts are dropped.
        documents: seeds to draw, or documents to take; None takes all, or draws until the budget is reached.
        budget_tokens: tokens of the output, end tokens among them, at which it stops: at the first seed of each part of
            the ledger that reaches the part's share, so it is passed by less than one seed's documents for each part.
        seed: chooses the seeds and their order. What is sampled depends on the requests alone.
        ledger: folder of the answers, by default beside the output.
        replace: remove an output that other inputs or settings made; the ledger stays.
        crew: who works. Each worker opens an engine of its own.
        progress: called with (seeds done, seeds in all; 0 if there is no end but the budget), from one process only.

    Raises:
        InputError: an input is unusable, or all documents bring fewer tokens than the budget.
        EndedEarly: the engine failed or gave requests up, or the disk is full; what was answered is kept.
    """
    _require_an_end(recipe, documents, budget_tokens)
    tokenizer = Tokenizer.load(corpus)
    name, content = engine.generator()
    folder = ledger or output.with_name(output.name + ".ledger")

    def build(scratch: Path) -> dict[str, Any]:
        total = documents or (0 if recipe.draws else len(IndexedCorpus(corpus / CORPUS_PREFIX)))
        parts = Ledger(folder, expected=_expected(total, budget_tokens)).parts
        share = Share(
            corpus=corpus, recipe=recipe, engine=engine, generator=content, filters=filters, ledger=folder,
            documents=documents, goal=None if budget_tokens is None else -(-budget_tokens // parts), seed=seed,
            progress=_seeds_done(progress, total) if crew.alone else None,
        )  # fmt: skip
        made = scratch / SHARDS / "parts"
        workers = crew.workers * crew.tasks
        shares = [(tuple(range(number, parts, workers)), made) for number in range(min(workers, parts))]
        counts = _counted(run_shards(share, shares, scratch, crew, None if crew.alone else progress))
        damaged = counts.pop(DAMAGED, 0)  # no output may tell how often a ledger was damaged meanwhile
        _require_enough(counts, corpus, budget_tokens)
        folders = [made / f"{part:04d}" for part in range(parts)]
        result = _put_together(folders, scratch, tokenizer, recipe, counts)
        _write_samples(folders, scratch, facts, counts)
        return result | ({DAMAGED: damaged} if damaged else {})

    settings = {
        "recipe": recipe.name, "version": recipe.version, "recipe_settings": _settings(recipe),
        **({"recipe_file": code} if (code := getattr(recipe, "code", None)) else {}),
        "generator": {"name": name, "hash": content}, "filters": dataclasses.asdict(filters), "documents": documents,
        "budget_tokens": budget_tokens, "seed": seed, "kind": recipe.kind, "tokenizer": tokenizer.hash,
        "vocabulary": tokenizer.vocabulary, "eos": tokenizer.eos,
    }  # fmt: skip
    facts = {"recipe": recipe.name, "model": name, "corpus": corpus.name}
    return run_step(
        output, step=f"synth {recipe.name}", inputs={"corpus": corpus}, settings=settings, build=build, replace=replace,
        task=crew.part,
    )  # fmt: skip


def _require_an_end(recipe: Recipe, documents: int | None, budget_tokens: int | None) -> None:
    if recipe.kind not in KINDS:
        raise InputError(
            where=f"recipe {recipe.name}", found=f"kind '{recipe.kind}'", expected="one of " + ", ".join(KINDS),
            fix="Give its documents one of these kinds.",
        )  # fmt: skip
    if recipe.draws and documents is None and budget_tokens is None:
        raise InputError(
            where=f"recipe {recipe.name}", found="neither documents nor a budget",
            expected="an end: it draws its seeds with replacement", fix="Give --documents or --budget-tokens.",
        )  # fmt: skip
    for name, value in (("documents", documents), ("budget_tokens", budget_tokens)):
        if value is not None and value < 1:
            raise InputError(where=name, found=str(value), expected="at least 1", fix="Give a larger number.")


def _expected(seeds: int, budget_tokens: int | None) -> int:
    """Requests, roughly."""
    by_budget = None if budget_tokens is None else budget_tokens // TOKENS_OF_A_REQUEST
    return min(count for count in (seeds or None, by_budget) if count is not None)


def _settings(recipe: Recipe) -> dict[str, Any]:
    """The recipe's fields; of a template its text, which is what a reader of the manifest wants to see."""
    fields = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}  # type: ignore[arg-type]
    return {
        name: value.text if isinstance(value, Prompt)
        else dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
        for name, value in fields.items()
    }  # fmt: skip


def _seeds_done(progress: Callable[[int, int], None] | None, total: int) -> Callable[[int], None] | None:
    done = Counter[str]()

    def count(more: int) -> None:
        done["seeds"] += more
        if progress:
            progress(done["seeds"], total)

    return count


def _put_together(
    folders: Sequence[Path], scratch: Path, tokenizer: Tokenizer, recipe: Recipe, counts: Mapping[str, int]
) -> dict[str, Any]:
    """The parts to a corpus; returns what is in it, and the counts in a fixed order."""
    made = assemble(
        folders, scratch, dtype=token_dtype(tokenizer.vocabulary), kind=recipe.kind, allow_repeated_names=False,
        generator=1,
    )  # fmt: skip
    write_origins(scratch / CORPUS_PREFIX, [folder / ORIGINS for folder in folders])
    tokenizer.copy_to(scratch)
    join_files([folder / DROPPED for folder in folders], scratch / DROPPED)
    return made | {name: counts[name] for name in counts if name != "tokens"}


def _counted(results: Sequence[Mapping[str, int]]) -> dict[str, int]:
    counts: Counter[str] = Counter(dict.fromkeys(ALWAYS_COUNTED, 0))
    for result in results:
        counts.update(result)
    return {name: counts[name] for name in (*ALWAYS_COUNTED, *sorted(set(counts) - set(ALWAYS_COUNTED)))}


def _require_enough(counts: Mapping[str, int], corpus: Path, budget_tokens: int | None) -> None:
    dropped = ", ".join(f"{name} {count:,}" for name, count in counts.items() if name.startswith("dropped_")) or "none"
    if not counts["kept"]:
        raise InputError(
            where=f"{counts['drafts']:,} drafts of {counts['seeds']:,} documents",
            found=f"none that is kept ({dropped})", expected="at least one",
            fix="Look at the answers in the ledger; leave a filter out with --skip-filter.",
            keeps_work=True,
        )  # fmt: skip
    if budget_tokens is not None and counts["tokens"] < budget_tokens:
        raise InputError(
            where=f"corpus {corpus}", found=f"documents that brought {counts['tokens']:,} tokens, and no more of them",
            expected=f"the budget, {budget_tokens:,}",
            fix="Ask for more of each document, name a larger corpus, or a smaller --budget-tokens. All answers are"
            " kept.",
            keeps_work=True,
        )  # fmt: skip


def _write_samples(folders: Sequence[Path], scratch: Path, facts: Mapping[str, str], counts: Mapping[str, int]) -> None:
    """`samples.jsonl` and `samples.html`: some seeds from all parts beside what was made of them."""
    rows = list(islice(_spread([folder / SAMPLES for folder in folders]), SHOWN))
    write_lines(scratch / "samples.jsonl", rows)
    samples = [
        Sample(
            row["seed_name"], row["seed_text"], [(made["name"], made["text"]) for made in row["documents"]],
            [(drop["reason"], drop["text"]) for drop in row["dropped"]],
        )
        for row in rows
    ]  # fmt: skip
    write_page(
        scratch / "samples.html", title=f"Samples: {facts['recipe']}", facts=facts, counts=counts, samples=samples
    )


def _spread(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """The first row of each file, then the second, and so on; of no more files than rows are shown."""
    columns = zip_longest(*(read_lines(path) for path in files[:SHOWN]))
    return (row for column in columns for row in column if row is not None)
