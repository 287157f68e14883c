"""What trained runs are worth: their newest checkpoints, on a held-out corpus and on tasks, into `results.json`.

A run's model is read once for all that is asked of it. Results are put beside what the file holds already:

    heldout      of the plain reading (one stream, windows that don't overlap), which reports compare; of every window
                 `<run>/evaluation/heldout-windows.jsonl` says more
    perplexity   corpus and reading -> the same numbers
    tasks        name -> its numbers; of every item `<run>/evaluation/<task>.jsonl` says more
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import is_finished, read_manifest
from megatron_ext import platform
from megatron_ext.checkpoint.folders import require_latest
from megatron_ext.config import RunConfig
from megatron_ext.evaluation.inputs import Wanted, configs_of, read_tasks, tokenizer_of
from megatron_ext.evaluation.perplexity import opened, perplexity, with_bytes
from megatron_ext.evaluation.results import record, record_items, record_within
from megatron_ext.evaluation.scores import details
from megatron_ext.evaluation.tasks import Task

HELDOUT, WINDOWS = "heldout", "heldout-windows"


def evaluate(
    runs: list[Path], wanted: Wanted, *, progress: Callable[[int, int], None] | None = None
) -> dict[str, dict[str, Any]]:
    """Evaluate each run's newest checkpoint. All runs share one layout, and this is called by every rank.

    Args:
        runs: folders of runs or of imported models.
        wanted: what is asked.
        progress: called with (runs done, runs in all).

    Returns:
        Run folder -> {"heldout": numbers} with a corpus, {"tasks": name -> numbers} with tasks.

    Raises:
        InputError: a run, the corpus or a task can't be used, or the runs differ in layout.
    """
    configs = configs_of(runs)
    corpus = IndexedCorpus(wanted.heldout / CORPUS_PREFIX) if wanted.heldout else None
    tasks = read_tasks(wanted.tasks, most_items=wanted.most_items)
    platform.start(configs[0].layout, seed=configs[0].seed)
    try:
        first_rank, results = platform.is_first_rank(), {}
        for done, (run, config) in enumerate(zip(runs, configs, strict=True), start=1):
            results[str(run)] = _evaluate_run(run, config, corpus, tasks, wanted, keep=first_rank)
            if progress and first_rank:
                progress(done, len(runs))
    finally:
        platform.stop()
    if first_rank and corpus is not None:  # only now: others would wait while texts are counted
        for run in runs:
            found = with_bytes(results[str(run)]["heldout"], corpus, by_document=wanted.by_document)
            results[str(run)]["heldout"] = found
            _keep_heldout(run, wanted, found)
    return results


def _evaluate_run(
    run: Path, config: RunConfig, corpus: IndexedCorpus | None, tasks: list[Task], wanted: Wanted, *, keep: bool
) -> dict[str, Any]:
    from megatron_ext.evaluation.answers import Answers

    model, results = opened(run, config), {}
    if corpus is not None:
        reading = perplexity(model, config, corpus, stride=wanted.stride, by_document=wanted.by_document)
        results["heldout"] = reading.numbers() | _named(corpus.prefix.parent)
        if keep and wanted.is_plain:
            record_items(run, WINDOWS, reading.items())
    if tasks:
        answers = Answers(config, tasks, tokenizer_of(config, where=str(run)))
        found = answers(model)
        place = {"checkpoint": require_latest(run).name}
        results["tasks"] = {
            task.name: scores | place | {"file": task.hash}
            for task, scores in zip(tasks, answers.scores(found).values(), strict=True)
        }
        if keep:
            record_within(run, "tasks", results["tasks"])
            for task, each in zip(tasks, found, strict=True):
                record_items(run, task.name, list(details(task, each)))
    return results


def _keep_heldout(run: Path, wanted: Wanted, found: dict[str, float]) -> None:
    placed = found | {"checkpoint": require_latest(run).name}
    record_within(run, "perplexity", {wanted.reading: placed})
    if wanted.is_plain:
        record(run, HELDOUT, placed)


def _named(corpus: Path) -> dict[str, str]:
    """Which corpus it was; one without a manifest has no hash."""
    named = {"corpus": corpus.resolve().name}
    return named | {"hash": read_manifest(corpus).fingerprint} if is_finished(corpus) else named
