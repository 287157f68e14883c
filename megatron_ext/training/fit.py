"""Whether a run fits the machine: processes, micro batches, memory, layers that must be installed. No torch."""

import importlib.util
import shutil
import subprocess

import psutil

from data_tools.errors import InputError
from megatron_ext.config import RunConfig, require_ranks
from megatron_ext.plan.cost import memory_per_gpu

GIB = 2**30


def require_fit(config: RunConfig, *, ranks: int) -> None:
    """Refuse what can't run on so many processes of this machine.

    Raises:
        InputError: processes or micro batches don't divide, Transformer Engine is missing, or memory is too small.
    """
    require_divisible(config, ranks=ranks)
    _require_engine(config)
    _require_memory(config, ranks)


def require_divisible(config: RunConfig, *, ranks: int) -> None:
    """Refuse ranks among which models and micro batches can't be parted evenly.

    Raises:
        InputError: they can't.
    """
    layout, batch = config.layout, config.batch
    require_ranks(layout, ranks, where="layout")
    data_parallel = ranks // layout.model_ranks
    at_once = batch.micro_batch * data_parallel
    for name, size in [("ramp.global_batch", stage.global_batch) for stage in batch.ramp] + [
        ("global_batch", batch.global_batch)
    ]:
        if size % at_once:
            below = size // at_once * at_once
            raise InputError(
                where=f"batch.{name}", found=f"{size} samples",
                expected=f"a multiple of {at_once}: micro_batch {batch.micro_batch} x {data_parallel} data ranks",
                fix=f"Use {f'{below} or ' if below else ''}{below + at_once}, another micro_batch, or other ranks.",
            )  # fmt: skip


def _require_engine(config: RunConfig) -> None:
    wanted = ["precision fp8"] if config.precision == "fp8" else []
    if config.layout.context > 1:
        wanted.append(f"layout.context {config.layout.context}")
    if not wanted or (importlib.util.find_spec("transformer_engine") and shutil.which("nvidia-smi")):
        return
    raise InputError(
        where=wanted[0], found="no Transformer Engine on a GPU", expected="transformer-engine installed, and a GPU",
        fix="Install `megatron_ext[gpu]` on a GPU machine, or choose precision bf16 and context 1.",
    )  # fmt: skip


def _require_memory(config: RunConfig, ranks: int) -> None:
    needed = memory_per_gpu(config, ranks)
    gpu = gpu_memory()
    # A machine's main memory is shared by its processes; of ranks on other machines nothing is known here.
    available = gpu if gpu is not None else psutil.virtual_memory().total // ranks
    if needed["total"] <= available:
        return
    parts = ", ".join(f"{name} {size / GIB:.1f}" for name, size in needed.items() if name != "total")
    raise InputError(
        where="memory", found=f"about {needed['total'] / GIB:.1f} GiB needed by the fullest rank ({parts})",
        expected=f"at most {available / GIB:.1f} GiB, what a {'GPU' if gpu is not None else 'process'} has here",
        fix="Raise layout.tensor or layout.pipeline, lower batch.micro_batch, set layout.recompute to full, "
        "or use more data-parallel ranks.",
    )  # fmt: skip


def gpu_memory() -> int | None:
    """Bytes of the smallest GPU of this machine; None without one."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.split()
    sizes = [int(size) for size in listed if size.isdigit()]
    return min(sizes) * 2**20 if sizes else None
