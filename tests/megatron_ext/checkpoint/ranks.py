"""A rank of the tests here: saves and loads a small model under a scenario, and writes what it saw to a file.

Called with a scenario, a folder, and a run's settings as JSON. A test reads {rank: findings} from `findings.json`.
"""

import json
import resource
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from data_tools.errors import InputError
from megatron_ext import platform
from megatron_ext.config import CheckpointConfig, RunConfig, run_from_dict

STATE = {"step": 7, "recent_losses": [3.5, 0.1]}


class Twin:
    """A model with its optimizer, trained on noise."""

    def __init__(self, config: RunConfig, *, steps: int = 0):
        from megatron_ext.training.build import build_trainable

        self.model, self.optimizer = build_trainable(config, fresh=True)
        for step in range(steps):
            self.update(step)

    def update(self, step: int) -> None:
        noise = torch.Generator().manual_seed(step)
        for chunk in self.model:
            for buffer in chunk.buffers:
                buffer.grad_data.copy_(torch.randn(buffer.grad_data.shape, generator=noise))
        self.optimizer.step()
        for chunk in self.model:
            chunk.start_param_sync(force_sync=True)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that training changes, as it is now: weights, main weights and moments of this rank."""
        (inner,) = self.optimizer.chained_optimizers
        found = {f"{i}.{name}": value for i, chunk in enumerate(self.model) for name, value in chunk.named_parameters()}
        for place, (main, moments) in enumerate(inner.optimizer.state.items()):
            found |= {f"{place}.main": main} | {f"{place}.{name}": value for name, value in moments.items()}
        return {name: value.detach().clone() for name, value in found.items()}

    def groups(self) -> list[dict[str, Any]]:
        groups = self.optimizer.chained_optimizers[0].optimizer.state_dict()["param_groups"]
        return [{name: value for name, value in group.items() if name != "params"} for group in groups]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def there_and_back(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Save in both ways, disturbed at once, and with Megatron-core's own means; read it all back."""
    from megatron_ext.checkpoint.folders import step_folder
    from megatron_ext.checkpoint.loading import load, newest_sound
    from megatron_ext.checkpoint.saving import Saver

    trained = Twin(config, steps=2)
    expected, groups = trained.tensors(), trained.groups()
    _save_by_megatron(trained, folder / "megatron")
    saver = Saver(folder / "run", CheckpointConfig(asynchronous=False))
    saver.save(1, trained.model, trained.optimizer, STATE)
    saver = Saver(folder / "run", CheckpointConfig(asynchronous=True))
    for step in (2, 3):  # the second one from the plan that the first one made
        saver.save(step, trained.model, trained.optimizer, STATE)
        for chunk in trained.model:
            for parameter in chunk.parameters():
                parameter.data.fill_(1e9)
        trained.update(step)
        torch.distributed.barrier()
        saver.finish()
        load(step_folder(folder / "run", 1) if step == 2 else newest_sound(folder / "run")[0],
             trained.model, trained.optimizer)  # fmt: skip
    found: dict[str, Any] = {}
    paths = {"asynchronous": step_folder(folder / "run", 2), "asynchronous again": step_folder(folder / "run", 3)}
    for name, path in paths.items():
        fresh = Twin(config)
        state = load(path, fresh.model, fresh.optimizer)
        found[name] = same(fresh.tensors(), expected) and fresh.groups() == groups and state == STATE
    fresh = Twin(config)
    _load_by_megatron(fresh, paths["asynchronous again"])
    found["ours read by Megatron-core"] = same(fresh.tensors(), expected)
    fresh = Twin(config)
    load(folder / "megatron", fresh.model, fresh.optimizer)
    found["Megatron-core's read by us"] = same(fresh.tensors(), expected)
    return found


def _sharded(twin: Twin, *, loading: bool) -> dict[str, Any]:
    state = {f"model{i}": chunk.module.sharded_state_dict() for i, chunk in enumerate(twin.model)}
    layout = {"distrib_optim_sharding_type": "fully_reshardable"}
    return state | {"optimizer": twin.optimizer.sharded_state_dict(dict(state), is_loading=loading, metadata=layout)}


def _save_by_megatron(twin: Twin, folder: Path) -> None:
    from megatron.core import dist_checkpointing
    from megatron.core.package_info import __version__ as version

    if platform.is_first_rank():
        folder.mkdir()
    torch.distributed.barrier()
    strategy = {} if version.startswith("0.16") else {"async_strategy": "mcore"}
    dist_checkpointing.save(_sharded(twin, loading=False) | {"run_state": STATE}, str(folder), **strategy)


def _load_by_megatron(twin: Twin, folder: Path) -> None:
    from megatron.core import dist_checkpointing

    loaded = dist_checkpointing.load(_sharded(twin, loading=True), str(folder))
    for number, chunk in enumerate(twin.model):
        chunk.module.load_state_dict(loaded[f"model{number}"])
    twin.optimizer.load_state_dict(loaded["optimizer"])


def before_the_first_update(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Save and load without moments, and then train on."""
    from megatron_ext.checkpoint.folders import step_folder
    from megatron_ext.checkpoint.loading import load
    from megatron_ext.checkpoint.saving import save

    first = Twin(config)
    save(folder, step=0, model=first.model, optimizer=first.optimizer, state=STATE)
    second = Twin(replace(config, seed=config.seed + 1))
    load(step_folder(folder, 0), second.model, second.optimizer)
    equal = [same(first.tensors(), second.tensors())]
    for twin in (first, second):
        twin.update(5)
    return {"equal": [*equal, same(first.tensors(), second.tensors())]}


def a_rank_that_cannot_write(config: RunConfig, folder: Path) -> dict[str, Any]:
    """The files of the last rank are not let grow, for one save between two others."""
    from megatron_ext.checkpoint.folders import complete, latest_step
    from megatron_ext.checkpoint.loading import newest_sound
    from megatron_ext.checkpoint.saving import Saver
    from megatron_ext.checkpoint.writing import SaveFailedError

    twin = Twin(config, steps=1)
    saver = Saver(folder, CheckpointConfig(keep=5))
    saver.save(1, twin.model, twin.optimizer, STATE)
    saver.finish()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    if torch.distributed.get_rank() == torch.distributed.get_world_size() - 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))
    saver.save(2, twin.model, twin.optimizer, STATE)
    problem = ""
    try:
        while saver.poll() is None:
            time.sleep(0.01)
    except SaveFailedError as failure:
        problem = str(failure)
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    torch.distributed.barrier()
    left = sorted(path.name for path in (folder / "checkpoints").iterdir())
    saver.save(3, twin.model, twin.optimizer, STATE)
    after = saver.finish()
    return {
        "problem": problem, "left": left, "step after": after.step, "latest": latest_step(folder),
        "complete": len(complete(folder)), "problems": newest_sound(folder)[1],
    }  # fmt: skip


def a_small_disk(config: RunConfig, folder: Path) -> dict[str, Any]:
    """The folder is on a disk with room for one checkpoint."""
    from megatron_ext.checkpoint.folders import complete
    from megatron_ext.checkpoint.saving import Saver
    from megatron_ext.checkpoint.writing import SaveFailedError

    twin = Twin(config, steps=1)
    saver = Saver(folder, CheckpointConfig())
    problems = []
    for step in range(1, 4):
        try:
            saver.save(step, twin.model, twin.optimizer, STATE)
            saver.finish()
        except SaveFailedError as failure:
            problems.append(str(failure))
    return {"problems": problems, "complete": [path.name for path in complete(folder)]}


def unfit_checkpoints(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Loads that are refused, and whether they left the weights alone."""
    from megatron_ext.checkpoint.loading import load
    from megatron_ext.checkpoint.saving import save

    twin = Twin(config, steps=1)
    save(folder, step=1, model=twin.model, optimizer=None, state=STATE)
    other = Twin(replace(config, model=replace(config.model, ffn=2 * config.model.ffn)), steps=1)
    before = other.tensors()
    refusals = {}
    weights = folder / "checkpoints" / "step_00000001"
    for name, path, twin_, moments in (
        ("missing", folder / "nowhere", other, True), ("another model", weights, other, False),
        ("no moments", weights, twin, True),
    ):  # fmt: skip
        try:
            load(path, twin_.model, twin_.optimizer if moments else None)
        except InputError as error:
            refusals[name] = str(error)
    return refusals | {"untouched": same(before, other.tensors())}


def main() -> None:
    scenario, folder, settings = sys.argv[1:]
    config = run_from_dict(json.loads(settings), "settings")
    platform.start(config.layout, seed=config.seed)
    try:
        found = globals()[scenario](config, Path(folder))
        everything = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(everything, found)
        if platform.is_first_rank():
            Path(folder, "findings.json").write_text(json.dumps(everything))
    finally:
        platform.stop()


if __name__ == "__main__":
    with warnings.catch_warnings(action="ignore"):
        main()
