"""One run, from its config to its last checkpoint, inside each rank of the launcher's process group.

A run is a folder: `plan.json`, `config.json`, `events.jsonl`, `checkpoints/`, and `manifest.json` once it has reached
its last step. Started again it goes on from its newest sound checkpoint, at the next sample.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_tools.corpus.manifest import MANIFEST, is_finished, read_manifest, seal
from data_tools.files import write_whole
from megatron_ext import platform
from megatron_ext.config import RunConfig, as_dict
from megatron_ext.data.injection import Passages
from megatron_ext.data.sources import Source, corpus_folders
from megatron_ext.plan.budget import arm_budget
from megatron_ext.plan.samples import SamplePlan
from megatron_ext.training.lifecycle import StopRequest
from megatron_ext.training.preflight import CONFIG, PLAN, check, input_hashes
from megatron_ext.training.watchdog import Watchdog

if TYPE_CHECKING:
    from megatron_ext.training.loop import Observe, Progress, Trainer


COLLECTIVE_GRACE = 5.0
"""Minutes."""


def train(
    config: RunConfig,
    folder: Path,
    *,
    request: StopRequest,
    progress: "Progress | None" = None,
    observe: "Sequence[Observe]" = (),
) -> bool:
    """Train a run to its end; False if a signal stopped it before (its checkpoint is written).

    Args:
        config: the run.
        folder: run folder, new or of this very run.
        request: whether the run is asked to stop.
        progress: called with (steps done, steps in all).
        observe: what makes observers of the model, once it stands.

    Raises:
        InputError: something in the config, the corpora or the run folder can't be used. Raised before any
            process group or model exists, so nothing is left behind.
        TooManySkipsError: too many steps had a loss or gradient that is not a number.
        SaveFailedError: the last checkpoint could not be written.
    """
    plan, sources = check(config, folder, ranks=int(os.environ.get("WORLD_SIZE", "1")))
    if has_ended(config, folder):
        return True
    patience = config.limits.hang_minutes
    with Watchdog(folder, rank=int(os.environ.get("RANK", "0")), limit=60 * patience) as watchdog:
        # Collectives have more patience than the watchdog, whose stacks say more than their timeout.
        platform.start(config.layout, seed=config.seed, timeout_minutes=patience + COLLECTIVE_GRACE)
        try:
            return _train(config, folder, plan, sources, request, watchdog, progress, observe)
        finally:
            platform.stop()


def has_ended(config: RunConfig, folder: Path) -> bool:
    """Whether the run has reached the last step of this config, which may ask for more than an earlier one."""
    return is_finished(folder) and read_manifest(folder).counts["steps"] >= config.steps


def _train(
    config: RunConfig,
    folder: Path,
    plan: SamplePlan,
    sources: dict[str, Source],
    request: StopRequest,
    watchdog: Watchdog,
    progress: "Progress | None",
    observe: "Sequence[Observe]",
) -> bool:
    from megatron_ext.training.assemble import assemble
    from megatron_ext.training.loop import any_rank, train_steps

    first_rank = platform.is_first_rank()
    started = time.monotonic()
    trainer, first = assemble(config, folder, plan, sources)
    if first_rank:  # only now: a start that is refused leaves the folder as it was
        _describe(config, folder, plan, sources)
        request.watch(folder)
    try:
        trainer = replace(trainer, observers=[make(trainer, first) for make in observe])
        if any_rank(request.asked):
            trainer.tracker.event("stopped", step=first, signal=request.name)
            return False
        finished = train_steps(
            trainer, first=first, stop=config.steps, request=request, watchdog=watchdog,
            progress=progress if first_rank else None,
        )  # fmt: skip
        if finished:
            trainer.tracker.event("end", step=config.steps)
    finally:
        for record in (*trainer.observers, trainer.tracker):
            record.close()
    if finished and first_rank:
        _seal(config, folder, trainer, time.monotonic() - started)
    return finished


def _describe(config: RunConfig, folder: Path, plan: SamplePlan, sources: dict[str, Source]) -> None:
    passages = Passages.of(config, plan, corpus_folders(sources))
    budget = arm_budget(
        config, {name: source.extent for name, source in sources.items()},
        injected=passages and passages.counts(plan),
    )  # fmt: skip
    record = {
        "fingerprint": plan.fingerprint, "plan": plan.describe(), "inputs": input_hashes(config), "budget": budget,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)  # of an earlier, shorter end
    write_whole(folder / PLAN, json.dumps(record, indent=1) + "\n")
    write_whole(folder / CONFIG, json.dumps(as_dict(config), indent=1) + "\n")


def _seal(config: RunConfig, folder: Path, trainer: "Trainer", seconds: float) -> None:
    """The run has reached its last step: say so, with what it was made from."""
    from megatron_ext.checkpoint.folders import require_latest
    from megatron_ext.checkpoint.integrity import INTEGRITY
    from megatron_ext.training.tracking import EVENTS

    written = [file for observer in trainer.observers for file in observer.files]
    counts: dict[str, Any] = {"steps": config.steps, "tokens": config.tokens, "plan": trainer.plan.fingerprint}
    seal(
        folder,
        step="train",
        inputs=input_hashes(config),
        settings=as_dict(config),
        counts=counts | {"skipped_steps": len(trainer.skips.steps), "trained": dict(trainer.metrics.trained)},
        # The integrity file holds the hash of every other file of the checkpoint.
        files=[require_latest(folder) / INTEGRITY, folder / EVENTS, *written],
        seconds=seconds,
    )
