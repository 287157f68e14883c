"""Everything that is measured of a corpus, put together from shards, bands, the judge's answers and a few totals."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.indexed import CHUNK
from data_tools.corpus.manifest import is_finished, read_manifest
from data_tools.files import SHARDS, join_files
from data_tools.intervals import wilson
from data_tools.lines import write_lines
from data_tools.quality import duplicates
from data_tools.quality.asking import Asking
from data_tools.quality.documents import opened
from data_tools.quality.judge import By, Criterion, judged
from data_tools.quality.measures import FLAGGED, ITEMS_FOUND, LENGTHS, OVERLAPS, Rules, Shard
from data_tools.quality.overlap import BENCHMARK, HELDOUT, Index, counted, items_of, write_index
from data_tools.quality.self_bleu import groups_of
from data_tools.quality.spread import ORDERS, balance, distinct, histogram, quantiles
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.workers import HERE, Team, folder_of, folders_of, ranges, run_shards

DUPLICATES, ANSWERS = "duplicates.jsonl.zst", "answers.jsonl"

GROUPS, OF_A_GROUP, GROUPS_OF_A_SHARD = 2_000, 8, 64
"""Sources whose documents' self-BLEU is taken, and documents of one."""

PAIRED = ("pair_copying_by_rule", "mostly_copied")
FILTERED = ("dropped", "dropped_repetition")
"""Of what the model wrote, by the manifest: what filters dropped tells of the synthesizer, not of the corpus."""
SPREAD = ("self_bleu", *(f"distinct_{order}" for order in ORDERS), "gini", "top_percent")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    source: Path | None = None
    """Corpus that a synthetic one was made of."""
    heldout: Path | None = None
    benchmarks: tuple[Path, ...] = ()
    judge: EngineChoice | None = None
    judge_by: By = "answer"
    """Whether the judge writes its verdicts, or the likeliest is taken."""
    templates: tuple[tuple[str, str], ...] = ()
    """Measure -> file of a prompt of the user's own."""
    sample: int = 1000
    """Documents that are judged."""
    duplicate_sample: int = 1_000_000
    """Documents among which near-duplicates are looked for."""
    seed: int = 1234
    shard: int = 5_000
    """Documents that a worker does at a time."""


def measure(
    corpus: Path,
    settings: Settings,
    scratch: Path,
    *,
    crew: Team = HERE,
    asking: Asking | None = None,
    asked: Sequence[Criterion] = (),
    progress: Progress | None = None,
    judging: Progress | None = None,
) -> dict[str, Any]:
    """Measure a corpus; writes the lists of documents into `scratch`, and returns all figures.

    Args:
        corpus: corpus folder.
        settings: what is measured.
        scratch: the folder that `run_step` gives.
        crew: who does the rules.
        asking: who judges; None: nobody.
        asked: what the judge is asked.
        progress: called with (shards done, shards in all).
        judging: called with (documents judged, documents in all).
    """
    documents, items = opened(corpus), scratch / "items"
    has_items = settings.heldout is not None or bool(settings.benchmarks)
    if has_items:
        write_index(items / "index", items_of(settings.heldout, settings.benchmarks))
    rules = Rules(
        corpus=corpus, source=settings.source, items=items / "index" if has_items else None,
        sampled=settings.duplicate_sample, seed=settings.seed,
    )  # fmt: skip
    shards = _shards(corpus, settings)
    done = run_shards(rules, shards, scratch, crew, progress)
    folders = [folder_of(scratch, number) for number, shard in enumerate(shards) if shard[0] == "documents"]
    for name in (FLAGGED, OVERLAPS) if has_items else (FLAGGED,):
        join_files([folder / name for folder in folders], scratch / name)
    near = _near_duplicates(corpus, folders, scratch, crew)
    counts, scores = Counter[str](), list[float]()
    for result in done:
        scores += result.pop("self_bleu", [])
        counts.update(result)
    report = _facts(corpus) | {
        "lengths": _lengths(corpus, folders),
        "sources": None if documents.sources is None else balance(documents.sources),
        "distinct": distinct(documents, seed=settings.seed),
        "overlap": _overlap(items / "index", folders) if has_items else None,
        "duplicates": {"sampled": near.sampled, "superfluous": near.superfluous},
        "judge": None,
    }
    counted_shares = _flagged(counts, near, settings) | _dropped(corpus)
    shares = {name: _share(*found) for name, found in counted_shares.items()}
    if asking is not None:
        verdicts, answers = judged(asking, settings.source, asked, judging)
        shares |= verdicts
        name, content = asking.model
        report["judge"] = {
            "model": name, "hash": content, "sample": settings.sample, "judged": min(settings.sample, len(documents)),
            "by": settings.judge_by,
        }  # fmt: skip
        write_lines(scratch / ANSWERS, answers)
    shutil.rmtree(items, ignore_errors=True)
    return report | {"measures": shares | _spread(report, scores)}


def names_of(corpus: Path, settings: Settings, asked: Sequence[Criterion]) -> tuple[set[str], dict[str, str]]:
    """Measures that will be there, and those that won't with what they need."""
    has_sources = opened(corpus).sources is not None
    needs = {
        **dict.fromkeys(FILTERED, "" if _dropped(corpus) else "a corpus that `synth` wrote"),
        **dict.fromkeys(PAIRED, "" if settings.source else "--source"),
        HELDOUT: "" if settings.heldout else "--heldout", BENCHMARK: "" if settings.benchmarks else "--benchmark",
        **dict.fromkeys(("self_bleu", "gini", "top_percent"), "" if has_sources else "a corpus that knows its sources"),
        **dict.fromkeys(("non_factual", "repetition_judged"), "" if settings.judge else "--judge-model"),
        **dict.fromkeys(("pair_irrelevance", "pair_copying"), "--judge-model and --source"),
    } | {criterion.measure: "" for criterion in asked}  # fmt: skip
    absent = {name: what for name, what in needs.items() if what}
    return {"repetition", "duplicate", *SPREAD, *needs} - set(absent), absent


def _shards(corpus: Path, settings: Settings) -> list[Shard]:
    documents = opened(corpus)
    shards: list[Shard] = [("documents", part) for part in ranges(len(documents), settings.shard)]
    if documents.sources is None:
        return shards
    groups = groups_of(documents.sources, groups=GROUPS, most=OF_A_GROUP, seed=settings.seed)
    parts = ranges(len(groups), GROUPS_OF_A_SHARD)
    return shards + [("groups", tuple(groups[first:stop])) for first, stop in parts]


def _near_duplicates(corpus: Path, folders: Sequence[Path], scratch: Path, crew: Team) -> duplicates.Found:
    """Look for them band by band, and list them by name."""
    joined = duplicates.joined(folders, scratch / SHARDS / duplicates.SIGNATURES)
    banded = scratch / SHARDS / "bands"
    bands = ranges(duplicates.BANDS, duplicates.BANDS_OF_A_SHARD)
    pairs = duplicates.BandPairs(tuple(folders), joined)
    run_shards(pairs, bands, banded, HERE if crew.part is not None else crew)  # of an array one task is left
    found = duplicates.found_in(folders, folders_of(banded, bands))
    name = opened(corpus).name
    pairs_found = zip(found.flagged.tolist(), found.first.tolist(), strict=True)
    rows = (
        {"document": name(one), "number": one, "like": name(other), "first": other}
        for one, other in pairs_found
        if one != other
    )
    write_lines(scratch / DUPLICATES, rows)
    return found


def _facts(corpus: Path) -> dict[str, Any]:
    documents, made = opened(corpus), None
    if is_finished(corpus):
        made = read_manifest(corpus)
    settings = made.settings if made else {}
    return {
        "corpus": corpus.resolve().name, "fingerprint": made.fingerprint if made else None,
        "documents": len(documents), "tokens": documents.corpus.token_count, "recipe": settings.get("recipe"),
        "generator": settings.get("generator", {}).get("name"), "synthetic": documents.is_synthetic,
    }  # fmt: skip


def _flagged(counts: Counter[str], near: duplicates.Found, settings: Settings) -> dict[str, tuple[int, int]]:
    """Documents that each rule flagged, and of how many."""
    of = counts["documents"]
    found = {"repetition": (counts["repetition"], of), "duplicate": (len(near.flagged), near.sampled)}
    names = [*(PAIRED if settings.source else ()), *([HELDOUT] if settings.heldout else ())]
    names += [BENCHMARK] if settings.benchmarks else []
    return found | {name: (counts[name], of) for name in names}


def _dropped(corpus: Path) -> dict[str, tuple[int, int]]:
    """Drafts that synthesis dropped, and of how many; nothing of a corpus that was not synthesized."""
    counts = read_manifest(corpus).counts if is_finished(corpus) else {}
    if not counts.get("drafts"):
        return {}
    dropped = {name: count for name, count in counts.items() if name.startswith("dropped_")}
    found = {"dropped": sum(dropped.values()), "dropped_repetition": dropped.get("dropped_repetition", 0)}
    return {name: (count, counts["drafts"]) for name, count in found.items()}


def _share(count: int, of: int) -> dict[str, Any]:
    """A share, and the interval in which that of a larger corpus of the same making lies."""
    low, high = wilson(count, of)
    return {"value": count / of if of else None, "low": low, "high": high, "count": count, "of": of}


def _spread(report: dict[str, Any], scores: Sequence[float]) -> dict[str, dict[str, Any]]:
    """Measures that are no shares of documents, and so have no interval."""
    found = {name: report["distinct"][name] for name in SPREAD if name in report["distinct"]}
    sizes = dict.fromkeys(found, report["distinct"]["words"])
    if report["sources"] is not None:
        found |= {name: report["sources"][name] for name in ("gini", "top_percent")}
        sizes |= dict.fromkeys(("gini", "top_percent"), report["sources"]["sources"])
        found["self_bleu"] = sum(scores) / len(scores) if scores else None
        sizes["self_bleu"] = len(scores)
    return {name: {"value": found[name], "of": sizes[name]} for name in SPREAD if name in found}


def _lengths(corpus: Path, folders: Sequence[Path]) -> dict[str, Any]:
    words = [folder / LENGTHS for folder in folders]
    return {
        "tokens": quantiles(_without_end(opened(corpus).corpus.lengths)), "words": quantiles(map(np.load, words)),
        "histogram": histogram(map(np.load, words)),
    }  # fmt: skip


def _overlap(index: Path, folders: Sequence[Path]) -> dict[str, dict[str, int]]:
    items = np.unique(np.concatenate([np.load(folder / ITEMS_FOUND) for folder in folders]))
    return counted(Index(index), items.tolist())


def _without_end(lengths: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(lengths), CHUNK):
        yield np.asarray(lengths[first : first + CHUNK]) - 1
