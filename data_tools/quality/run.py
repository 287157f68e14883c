"""The quality of a corpus: rules over all documents, verdicts on a sample, and a decision, in one folder.

    quality.json          every measure, with its interval and the paper's figures; the verdict if thresholds were given
    quality.html          the same for eyes, with documents that each measure flagged
    flagged.jsonl.zst     every document that a rule flagged, by name, and why
    overlaps.jsonl.zst    every overlap with a held-out document or benchmark item, with the text
    duplicates.jsonl.zst  near-duplicates in the sample, each with the first of its cluster
    answers.jsonl         some answers of the judge

Promises: shards that are finished, and answers that were given, are never done again; any number of workers writes the
same measures; other thresholds on a finished folder change the verdict and measure nothing again.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_tools.corpus.manifest import MANIFEST, Manifest, hash_of_input, is_finished, read_manifest, run_step
from data_tools.errors import InputError
from data_tools.quality.asking import Asking
from data_tools.quality.documents import require_source
from data_tools.quality.gate import Bounds, bounds_of, decide
from data_tools.quality.judge import Criterion, criteria
from data_tools.quality.measuring import Progress, Settings, measure, names_of
from data_tools.quality.page import FIGURES, write_quality_page
from data_tools.workers import HERE, Team

VERSION = 1
"""Counted up when a measure changes."""


def quality(
    corpus: Path,
    output: Path,
    settings: Settings = Settings(),  # noqa: B008  it is frozen
    *,
    thresholds: Any = None,
    thresholds_file: str = "thresholds",
    ledger: Path | None = None,
    replace: bool = False,
    crew: Team = HERE,
    progress: Progress | None = None,
    judging: Progress | None = None,
) -> Manifest:
    """Measure a corpus.

    Args:
        corpus: corpus folder, with its tokenizer.
        output: folder to make.
        settings: what is measured.
        thresholds: what a file of them holds: see gate. None: there is no verdict.
        thresholds_file: its name, for errors.
        ledger: folder of the judge's answers; beside the output if None.
        replace: remove an output that other inputs or settings made; the ledger stays.
        crew: who does the rules. The judge is asked by one process.
        progress: called with (shards done, shards in all).
        judging: called with (documents judged, documents in all).

    Raises:
        InputError: an input or threshold can't be used.
        EndedEarly: the judge's engine failed or gave requests up; what was answered is kept.
    """
    for name in ("sample", "duplicate_sample", "shard"):
        if getattr(settings, name) < 1:
            raise InputError(where=name, found=str(getattr(settings, name)), expected="at least 1", fix="Give more.")
    if settings.source is not None:
        require_source(corpus, settings.source)
    asked: tuple[Criterion, ...] = ()
    if settings.judge:
        asked = criteria(
            pairs=settings.source is not None, templates=dict(settings.templates), by=settings.judge_by
        )  # fmt: skip
    bounds = None if thresholds is None else _bounds(thresholds, thresholds_file, corpus, settings, asked)
    inputs = {"corpus": corpus} | {f"benchmark {n}: {path.name}": path for n, path in enumerate(settings.benchmarks)}
    inputs |= {name: path for name in ("source", "heldout") if (path := getattr(settings, name)) is not None}
    asking = _asking(corpus, settings, ledger or output.with_name(output.name + ".ledger"))
    chosen = _described(settings, asking, asked)
    before = _measured_before(output, {name: hash_of_input(path) for name, path in inputs.items()}, chosen)

    def build(scratch: Path) -> dict[str, Any]:
        if before is None:
            report = measure(
                corpus, settings, scratch, crew=crew, asking=asking, asked=asked, progress=progress, judging=judging
            )
        else:
            for name, data in before.items():
                (scratch / name).write_bytes(data)
            report = json.loads(before[FIGURES])
        report["verdict"] = None if bounds is None else decide(report["measures"], bounds)
        write_quality_page(scratch, report, corpus, settings.source)
        go = {} if bounds is None else {"go": report["verdict"]["go"]}
        return {"documents": report["documents"], **go,
                **{name: found["value"] for name, found in report["measures"].items()}}  # fmt: skip

    return run_step(
        output, step="quality", inputs=inputs, settings=chosen | {"thresholds": bounds}, build=build,
        replace=replace or before is not None, task=crew.part,
    )  # fmt: skip


def _bounds(thresholds: Any, where: str, corpus: Path, settings: Settings, asked: Sequence[Criterion]) -> Bounds:
    known, absent = names_of(corpus, settings, asked)
    return bounds_of(thresholds, where=where, known=known, absent=absent)


def _asking(corpus: Path, settings: Settings, ledger: Path) -> Asking | None:
    if settings.judge is None:
        return None
    return Asking(corpus=corpus, engine=settings.judge, sample=settings.sample, seed=settings.seed, ledger=ledger)


def _described(settings: Settings, asking: Asking | None, asked: Sequence[Criterion]) -> dict[str, Any]:
    """Whatever the measures depend on, besides the inputs."""
    judge = None
    if asking is not None:
        judge = {
            "name": asking.model[0], "hash": asking.model[1], "sample": settings.sample,
            "by": settings.judge_by, "templates": {each.measure: each.template.text for each in asked},
        }  # fmt: skip
    return {
        "version": VERSION, "judge": judge, "duplicate_sample": settings.duplicate_sample, "seed": settings.seed,
        "shard": settings.shard,
    }  # fmt: skip


def _measured_before(output: Path, inputs: dict[str, str], chosen: dict[str, Any]) -> dict[str, bytes] | None:
    """The files of an output that measured the same, whatever its thresholds; None if there is none."""
    if not is_finished(output):
        return None
    manifest = read_manifest(output)
    same = chosen | {"thresholds": manifest.settings.get("thresholds")}
    if not manifest.made_by("quality", inputs, same):
        return None
    return {path.name: path.read_bytes() for path in output.iterdir() if path.name != MANIFEST}
