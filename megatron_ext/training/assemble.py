"""Everything that a run trains with, built on this rank and brought to where it left off."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from megatron.core import parallel_state

from megatron_ext import platform
from megatron_ext.checkpoint.folders import resolve
from megatron_ext.checkpoint.loading import load, require_sound, require_whole
from megatron_ext.checkpoint.saving import Saver
from megatron_ext.config import RunConfig
from megatron_ext.data.batches import Batch, micro_batches
from megatron_ext.data.injection import Passages
from megatron_ext.data.pairs import Pairs
from megatron_ext.data.sources import Source, corpus_folders, described
from megatron_ext.plan.samples import SamplePlan
from megatron_ext.training.build import build_trainable
from megatron_ext.training.loop import Trainer
from megatron_ext.training.metrics import Metrics, gpu_name
from megatron_ext.training.skips import Skips
from megatron_ext.training.spikes import LossWatch
from megatron_ext.training.tracking import Tracker, wandb_id


def assemble(config: RunConfig, folder: Path, plan: SamplePlan, sources: dict[str, Source]) -> tuple[Trainer, int]:
    """(what to train with, the step to begin with), from the newest sound checkpoint if there is one.

    Called by every rank, within the run's process group.

    Raises:
        InputError: the weights to start from are missing or damaged.
    """
    found, problems = require_sound(folder)
    model, optimizer = build_trainable(config, fresh=found is None and config.init_from is None)
    state: dict[str, Any] = {"step": 0, "wandb_run": None, "skipped": [], "recent_losses": [], "trained": {}}
    if found is not None:
        state = load(found, model=model, optimizer=optimizer)
    elif config.init_from is not None:
        kept = config.init_optimizer == "kept"
        start = require_whole(resolve(config.init_from))
        load(start, model=model, optimizer=optimizer if kept else None)
        if not kept:
            optimizer.reload_model_params()
    wandb_run = _first_ranks(partial(wandb_id, folder, state["wandb_run"]))
    tracker = Tracker(folder, config, run_id=wandb_run, active=platform.is_first_rank())
    for problem in problems:
        tracker.event("damaged", problem=problem)
    ranks = torch.distributed.get_world_size()
    passages = Passages.of(config, plan, corpus_folders(sources))
    counts = {"injected": passages.counts(plan)} if passages else {}
    tracker.event("start", step=state["step"], steps=config.steps, ranks=ranks, plan=plan.fingerprint, **counts)
    return Trainer(
        config=config, plan=plan, model=model, optimizer=optimizer,
        batches=_batches(config, plan, sources, passages),
        samples=lambda step: _samples(plan, sources, step),
        saver=Saver(folder, config.checkpoint), tracker=tracker,
        metrics=Metrics(config, ranks, gpu_name(), plan.rows_per_epoch, _documents(sources), state["trained"]),
        skips=Skips(config.limits.skipped_steps, state["skipped"]),
        losses=LossWatch(config.limits.spike_deviations, state["recent_losses"]),
        wandb_run=wandb_run,
    ), state["step"]  # fmt: skip


def _batches(config: RunConfig, plan: SamplePlan, sources: dict[str, Source], passages: Passages | None) -> Any:
    ranks, rank = parallel_state.get_data_parallel_world_size(), parallel_state.get_data_parallel_rank()

    def of(step: int) -> Iterator[Batch]:
        return micro_batches(plan, sources, step=step, config=config, rank=rank, ranks=ranks, passages=passages)

    return of


def _samples(plan: SamplePlan, sources: dict[str, Source], step: int) -> Iterator[dict[str, Any]]:
    for _, i, sample in plan.consumed(step, step + 1):
        yield described(i, sample, sources, plan.showings.get(i))


def _documents(sources: dict[str, Source]) -> dict[str, int]:
    """Documents of a corpus; of a source of pairs, its pairs."""
    return {
        name: source.extent.size if isinstance(source, Pairs) else sum(map(len, source.corpora))
        for name, source in sources.items()
    }


def _first_ranks(choose: Callable[[], str]) -> str:
    """The first rank's choice, on every rank: a checkpoint's common part has to be the same on all."""
    chosen = [choose() if platform.is_first_rank() else None]
    torch.distributed.broadcast_object_list(chosen)
    return chosen[0]
