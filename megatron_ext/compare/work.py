"""Training and measuring what is missing, one run after another. State is the folders: started again, it goes on.

Whatever trains or evaluates is a command of ours in a process of its own, which comes in as a function.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import SIGINT, SIGTERM, SIGUSR1
from typing import Any

import yaml

from data_tools.corpus.manifest import hash_of_input, is_finished, read_manifest, run_step
from data_tools.errors import InputError
from data_tools.files import write_whole
from megatron_ext.compare.runs import Comparison, PlannedRun
from megatron_ext.config import as_dict
from megatron_ext.sweep.tasks import RunFailed

Command = Callable[..., int]
"""command("train", ...) -> exit status."""

RESULTS, ENSEMBLE = "results.json", "ensemble.json"

STOPPED = {status for number in (SIGINT, SIGUSR1, SIGTERM) for status in (-number, 128 + number)}
"""Statuses of a command that a signal has ended before it could save: nobody wants the next run to be started."""

MAY_DIFFER = ("layout", "checkpoint", "tracking", "limits")
"""Settings of a run that change nothing of what is compared."""


def carry_out(comparison: Comparison, command: Command) -> list[str]:
    """Train, measure and put together what is not there yet. Returns the runs that failed; the others are finished.

    Raises:
        InputError: a run's folder holds another run.
        RunFailed: a run was stopped by a signal, or an evaluation failed.
    """
    runs = list(comparison.runs)
    for run in runs:
        _require_same_run(comparison, run)
    failed = [run.name for run in runs if not _is_trained(comparison, run) and train(comparison, run, command)]
    measure(comparison, [run for run in runs if run.name not in failed], command)
    together = comparison.config.ensembles
    for arm in together.arms if together else ():
        members = comparison.arms[arm]
        if not any(run.name in failed for run in members):
            _ensemble(comparison, members, command)
    return failed


def missing(comparison: Comparison) -> list[PlannedRun]:
    """Runs that are not trained or not measured, as they can be trained at a time."""
    for run in comparison.runs:
        _require_same_run(comparison, run)
    return [run for run in comparison.runs if not (_is_trained(comparison, run) and _is_measured(comparison, run))]


def train(comparison: Comparison, run: PlannedRun, command: Command) -> int:
    """Train one run, or go on with it; returns its exit status.

    Raises:
        RunFailed: it was stopped by a signal.
    """
    file, folder = comparison.run_file(run), comparison.run(run)
    write_whole(file, yaml.safe_dump(as_dict(run.config), sort_keys=False))
    status = command("train", str(file), "--output", str(folder), *_processes(comparison))
    if status in STOPPED or (not status and not is_finished(folder)):
        raise RunFailed(f"{folder} was stopped by a signal. The same command goes on from its checkpoint.")
    return status


def run_task(comparison: Comparison, name: str, command: Command) -> None:
    """Train and measure one run, as a task of an array does.

    Raises:
        RunFailed: it ended without a loss.
    """
    run = next((run for run in comparison.runs if run.name == name), None)
    if run is None:
        raise InputError(
            where=comparison.where, found=f"no run {name}", expected="one that was there when the array was written",
            fix="Write the array again, with --array.",
        )  # fmt: skip
    _require_same_run(comparison, run)
    if not _is_trained(comparison, run) and (status := train(comparison, run, command)):
        raise RunFailed(f"{comparison.run(run)} ended with status {status}: look at its events.")
    measure(comparison, [run], command)


def measure(comparison: Comparison, runs: Sequence[PlannedRun], command: Command) -> None:
    """Evaluate those that are not, as many as can be in one process.

    Raises:
        RunFailed: an evaluation failed.
    """
    waiting = [run for run in runs if not _is_measured(comparison, run)]
    for layout in dict.fromkeys(run.config.layout for run in waiting):
        chosen = [run for run in waiting if run.config.layout == layout]
        folders = [str(comparison.run(run)) for run in chosen]
        _evaluated(command("eval", *folders, "--heldout", str(comparison.config.heldout), *_processes(comparison)))
        if long := comparison.config.long_documents:
            words = ("--heldout", str(long), *_processes(comparison), "--by-position")
            _evaluated(command("eval", *folders, *words))
        for run in chosen:
            _keep(comparison, run)


def _keep(comparison: Comparison, run: PlannedRun) -> None:
    """Put what was measured beside the hashes of what it was measured on."""

    def build(scratch: Path) -> dict[str, Any]:
        shutil.copy(comparison.run(run) / RESULTS, scratch / RESULTS)
        return dict(json.loads((scratch / RESULTS).read_text())["heldout"])

    inputs = _measured_on(comparison, run)
    run_step(comparison.evaluation(run), step="measure", inputs=inputs, settings={}, build=build, replace=True)


def _ensemble(comparison: Comparison, runs: Sequence[PlannedRun], command: Command) -> None:
    folders = [str(comparison.run(run)) for run in runs]

    def build(scratch: Path) -> dict[str, Any]:
        heldout, file = str(comparison.config.heldout), str(scratch / ENSEMBLE)
        _evaluated(command("eval", *folders, "--heldout", heldout, "--ensemble", file, *_processes(comparison)))
        return {"members": len(runs)}

    inputs = {run.name: comparison.run(run) for run in runs} | {"heldout": comparison.config.heldout}
    run_step(
        comparison.ensemble(runs[0].arm), step="ensemble", inputs=inputs, settings={}, build=build, replace=True
    )  # fmt: skip


def _evaluated(status: int) -> None:
    if status:
        raise RunFailed(f"An evaluation ended with status {status}; the lines above say why. What is finished is kept.")


def _is_trained(comparison: Comparison, run: PlannedRun) -> bool:
    """Whether the run has reached its end, on the corpora and views as they are now."""
    folder = comparison.run(run)
    if not is_finished(folder):
        return False
    hashes = {f"sources.{name}": hash_of_input(source.corpus) for name, source in run.config.sources.items()}
    return json.loads((folder / "plan.json").read_text())["inputs"] == hashes


def _is_measured(comparison: Comparison, run: PlannedRun) -> bool:
    folder = comparison.evaluation(run)
    if not is_finished(folder) or not is_finished(comparison.run(run)):
        return False
    hashes = {name: hash_of_input(path) for name, path in _measured_on(comparison, run).items()}
    return read_manifest(folder).made_by("measure", hashes, {})


def _measured_on(comparison: Comparison, run: PlannedRun) -> dict[str, Path]:
    long = comparison.config.long_documents
    corpora = {"heldout": comparison.config.heldout} | ({"long_documents": long} if long else {})
    return {"run": comparison.run(run)} | corpora


def _require_same_run(comparison: Comparison, run: PlannedRun) -> None:
    """Refuse a folder with another run. `train` would go on with one that asks for more steps, at another rate.

    Raises:
        InputError: a setting that matters is another one.
    """
    path = comparison.run(run) / "config.json"
    if not path.exists():
        return
    found, wanted = _compared(json.loads(path.read_text())), _compared(as_dict(run.config))
    if odd := [name for name in wanted if found.get(name) != wanted[name]]:
        raise InputError(
            where=str(path), found=f"a run of other settings: {', '.join(odd)}",
            expected=f"{run.name} as {comparison.where} has it now",
            fix=f"Remove {path.parent}, or choose another folder for the comparison.",
        )  # fmt: skip


def _compared(settings: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in settings.items() if name not in MAY_DIFFER}
    batch = {name: value for name, value in settings["batch"].items() if name != "micro_batch"}
    return kept | {"batch": batch}


def _processes(comparison: Comparison) -> tuple[str, str]:
    return "--processes", str(comparison.config.processes)
