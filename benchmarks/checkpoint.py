"""What a checkpoint costs the training: written in the background, against written while all wait, in one go.

Both are the run's own saver on the same model, moments and ranks, with hashes and flushes; only `asynchronous` differs.
The stall is all that training waits for one checkpoint: to begin it, and to give it its name when its files are
written. Beside it stands Megatron-core's own asynchronous save of the same state, until training goes on.

    python benchmarks/checkpoint.py            two ranks, 134M parameters
    python benchmarks/checkpoint.py --quick    two ranks, 66M parameters, without Megatron-core's own

`slower update` is what the optimizer's next steps lose while the files are written: the system copies each page of
memory that they touch first, and the writers take cores from them.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.support import median, run_settings, show  # noqa: E402

MEGATRON = "Megatron-core, asynchronous"
SIZES = {
    "full": {"layers": 16, "hidden": 768, "ffn": 2304, "heads": 12, "kv_heads": 12, "vocabulary": 16384},
    "quick": {"layers": 12, "hidden": 640, "ffn": 1792, "heads": 10, "kv_heads": 10, "vocabulary": 8192},
}


def main() -> None:
    arguments = _arguments()
    if "RANK" in os.environ:
        with warnings.catch_warnings(action="ignore"):
            _measure(arguments)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        results = Path(folder) / "results.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={arguments.ranks}"]
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
            "BENCHMARK_OUTPUT": str(results),
        }
        subprocess.run([*command, __file__, *sys.argv[1:], "--folder", folder], check=True, env=environment)
        found = json.loads(results.read_text())
    stalls = {row["save"]: row["stall, s"] for row in found["rows"]}
    ratios = {"stall": stalls["synchronous"] / stalls["asynchronous"]}
    if MEGATRON in stalls:
        ratios["stall of Megatron-core"] = stalls[MEGATRON] / stalls["asynchronous"]
    show(f"One checkpoint of {found['figures']['GB']:.2f} GB", found["rows"], ratios=ratios, figures=found["figures"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--saves", type=int, default=5, help="of each kind; the first is shown apart")
    parser.add_argument("--folder", type=Path, help="where to write, on the disk to be measured")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.saves = min(arguments.saves, 4)
    return arguments


def _measure(arguments: argparse.Namespace) -> None:
    """On each rank; the first one writes what was found."""
    from megatron_ext import platform
    from megatron_ext.config import run_from_dict

    settings = run_settings(
        SIZES["quick" if arguments.quick else "full"], Path("corpus"), steps=1,
        batch={"sequence_length": 128, "global_batch": arguments.ranks},
    )  # fmt: skip
    config = run_from_dict(settings, ROOT)
    platform.start(config.layout, seed=1)
    try:
        found = _compare(config, arguments)
    finally:
        platform.stop()
    if os.environ["RANK"] == "0":
        Path(os.environ["BENCHMARK_OUTPUT"]).write_text(json.dumps(found))


def _compare(config: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    from megatron_ext.checkpoint.saving import Saver
    from megatron_ext.training.build import build_trainable

    model, optimizer = build_trainable(config, fresh=True)

    def update() -> float:
        """An optimizer step on random gradients: every weight and moment is written anew."""
        for buffer in model[0].buffers:
            buffer.grad_data.fill_(1e-3)
        torch.distributed.barrier()
        began = time.monotonic()
        optimizer.step()
        return time.monotonic() - began

    update()
    quiet = median([update() for _ in range(3)])
    kinds = {"synchronous": False, "asynchronous": True}
    rows = []
    for name, asynchronous in kinds.items():
        run = arguments.folder / name.replace(" ", "_")
        saver = Saver(run, replace(config.checkpoint, asynchronous=asynchronous, keep=1))
        measured = [_one(saver, step, model, optimizer, update) for step in range(1, arguments.saves + 1)]
        later = measured[1:]
        rows.append(
            {
                "save": name,
                "stall, s": median([saved.stall for saved, _ in later]),
                "first stall, s": measured[0][0].stall,
                "complete after, s": median([saved.seconds for saved, _ in later]),
                "slower update, s": median([sum(updates) - quiet * len(updates) for _, updates in later]),
            }
        )
        size = measured[0][0].bytes
        shutil.rmtree(run, ignore_errors=True)
        torch.distributed.barrier()
    if not arguments.quick:
        stalls = _of_megatron(arguments.folder / "megatron", model, optimizer, update, arguments.saves)
        unknown = dict.fromkeys(("complete after, s", "slower update, s"), math.nan)
        rows.append({"save": MEGATRON, "stall, s": median(stalls[1:]), "first stall, s": stalls[0]} | unknown)
    return {"rows": rows, "figures": {"GB": size / 1e9, "ranks": arguments.ranks, "update, s": quiet}}


def _one(saver: Any, step: int, model: Any, optimizer: Any, update: Callable[[], float]) -> tuple[Any, list[float]]:
    """One checkpoint, with updates while it is written, and what they took."""
    saver.save(step, model, optimizer, {"step": step})
    updates = []
    while (saved := saver.poll()) is None:
        updates.append(update())
        time.sleep(0.1)  # the forward and backward passes, on a device of their own
    saver.finish()
    return saved, updates


def _of_megatron(folder: Path, model: Any, optimizer: Any, update: Callable[[], float], saves: int) -> list[float]:
    """Stalls of Megatron-core's own asynchronous save in the layout that it can reshard."""
    import torch
    from megatron.core import dist_checkpointing
    from megatron.core.dist_checkpointing.strategies.async_utils import AsyncCallsQueue
    from megatron.core.package_info import __version__ as version

    strategy = {} if version.startswith("0.16") else {"async_strategy": "mcore"}
    calls, stalls = AsyncCallsQueue(), []
    for number in range(saves):
        if torch.distributed.get_rank() == 0:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        torch.distributed.barrier()
        began = time.monotonic()
        state = {"model": model[0].module.sharded_state_dict()}
        layout = {"distrib_optim_sharding_type": "fully_reshardable"}
        state["optimizer"] = optimizer.sharded_state_dict(state["model"], metadata=layout)
        request = dist_checkpointing.save(
            state, str(folder), async_sharded_save=True, validate_access_integrity=number == 0, **strategy
        )
        calls.schedule_async_request(request)
        stalls.append(time.monotonic() - began)
        del state, request
        while not calls.maybe_finalize_async_calls(blocking=False):
            update()
            time.sleep(0.1)
    calls.close()
    return stalls


if __name__ == "__main__":
    main()
