"""One run, from its config to its last checkpoint, inside each rank of the launcher's process group.

A run is a folder: `plan.json`, `config.json`, `events.jsonl`, `checkpoints/`, and `manifest.json` once it has reached
its last step. Started again it goes on from its newest complete checkpoint, at the next sample.
"""

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

from data_tools.corpus.manifest import is_finished, seal
from data_tools.files import write_whole
from megatron_ext import platform
from megatron_ext.config import RunConfig, as_dict
from megatron_ext.data.batches import micro_batches
from megatron_ext.data.sources import Source
from megatron_ext.plan.budget import arm_budget
from megatron_ext.plan.samples import SamplePlan
from megatron_ext.training.loop import Progress, Trainer, train_steps
from megatron_ext.training.preflight import PLAN, check, input_hashes
from megatron_ext.training.tracking import EVENTS, Tracker


def train(config: RunConfig, folder: Path, *, progress: Progress | None = None) -> bool:
    """Train a run to its end; False if a signal stopped it before (its checkpoint is written).

    Raises:
        InputError: something in the config, the corpora or the run folder can't be used. Raised before any
            process group or model exists, so nothing is left behind.
    """
    plan, sources = check(config, folder, ranks=int(os.environ.get("WORLD_SIZE", "1")))
    if is_finished(folder):
        return True
    platform.start(tensor=config.layout.tensor, pipeline=config.layout.pipeline, seed=config.seed)
    try:
        return _train(config, folder, plan, sources, progress)
    finally:
        platform.stop()


def _train(
    config: RunConfig, folder: Path, plan: SamplePlan, sources: dict[str, Source], progress: Progress | None
) -> bool:
    # Imported late: these need Megatron-core as `platform.start` has prepared it.
    import torch
    from megatron.core import parallel_state

    from megatron_ext import checkpoint

    first_rank = platform.is_first_rank()
    started = time.monotonic()
    if first_rank:
        _describe(config, folder, plan, sources)
    model, optimizer = _build(config)
    found = checkpoint.latest(folder)
    state: dict[str, Any] = {"step": 0, "fingerprint": plan.fingerprint, "wandb_run": _new_run_id()}
    if found is not None:
        state = checkpoint.load(found, model=model, optimizer=optimizer)
    elif config.init_from is not None:
        checkpoint.load(checkpoint.require_latest(config.init_from), model=model, optimizer=None)
        optimizer.reload_model_params()
    tracker = Tracker(folder, config, run_id=state["wandb_run"], active=first_rank)
    tracker.event("start", step=state["step"], steps=config.steps, ranks=torch.distributed.get_world_size())

    def batches(step: int) -> Any:
        ranks, rank = parallel_state.get_data_parallel_world_size(), parallel_state.get_data_parallel_rank()
        return micro_batches(plan, sources, step=step, config=config, rank=rank, ranks=ranks)

    def save(step: int) -> None:
        began = time.monotonic()
        checkpoint.save(folder, step=step, model=model, optimizer=optimizer, state=state | {"step": step})
        tracker.event("checkpoint", step=step, seconds=round(time.monotonic() - began, 3))

    trainer = Trainer(config, model, optimizer, batches, save, tracker)
    try:
        finished = train_steps(trainer, first=state["step"], progress=progress if first_rank else None)
        if finished:
            tracker.event("end", step=config.steps)
    finally:
        tracker.close()
    if finished and first_rank:
        _seal(config, folder, plan, time.monotonic() - started)
    return finished


def _build(config: RunConfig) -> tuple[Any, Any]:
    from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads

    from megatron_ext.model import build_model
    from megatron_ext.training.optimizer import build_optimizer

    bare = build_model(
        config.model,
        sequence_length=config.batch.sequence_length,
        layout=config.layout,
        precision=config.precision,
    )
    settings = DistributedDataParallelConfig(use_distributed_optimizer=True, grad_reduce_in_fp32=True)
    model = DistributedDataParallel(config=bare.config, ddp_config=settings, module=bare)
    optimizer = build_optimizer(config, model)
    bare.config.finalize_model_grads_func = finalize_model_grads
    bare.config.grad_scale_func = optimizer.scale_loss
    return model, optimizer


def _describe(config: RunConfig, folder: Path, plan: SamplePlan, sources: dict[str, Source]) -> None:
    budget = arm_budget(config, {name: source.extent for name, source in sources.items()})
    recorded = {"fingerprint": plan.fingerprint, "inputs": input_hashes(config), "budget": budget}
    write_whole(folder / PLAN, json.dumps(recorded, indent=1) + "\n")
    write_whole(folder / "config.json", json.dumps(as_dict(config), indent=1) + "\n")


def _seal(config: RunConfig, folder: Path, plan: SamplePlan, seconds: float) -> None:
    """The run has reached its last step: say so, with what it was made from."""
    from megatron_ext import checkpoint

    final = checkpoint.require_latest(folder)
    seal(
        folder,
        step="train",
        inputs=input_hashes(config),
        settings=as_dict(config),
        counts={"steps": config.steps, "tokens": config.tokens, "plan": plan.fingerprint},
        files=[*final.rglob("*"), folder / EVENTS],
        seconds=seconds,
    )


def _new_run_id() -> str:
    """The first rank's choice, on every rank: a checkpoint's common part has to be the same on all."""
    import torch

    chosen = [uuid.uuid4().hex[:8]]
    torch.distributed.broadcast_object_list(chosen)
    return chosen[0]
