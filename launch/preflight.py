"""What is looked at before a job is queued, besides what the run itself refuses: disk, memory, time, W&B, quality.

Each function refuses, or returns a sentence for the person who launches. Sizes and hours come in as numbers.
"""

import json
import math
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from data_tools.errors import InputError

GIB = 2**30
HEADROOM = 1.2
"""Of memory: buffers and fragmentation come on top of what can be counted."""
WANDB = "https://api.wandb.ai"
WANDB_SECONDS = 5.0
VERDICT = "quality.json"


def checkpoints_fit(needed: Mapping[Path, int], *, here: bool) -> str:
    """Refuse runs whose checkpoints don't fit on the disk.

    Args:
        needed: run folder -> bytes of the checkpoints that it keeps, and of the one that is being written.
        here: whether these are the disks that the runs will write to; elsewhere, what is short is only said.

    Raises:
        InputError: all runs on one disk need more than is free there.
    """
    by_disk: dict[int, tuple[Path, int]] = {}
    for run, size in needed.items():
        place = next(path for path in (run, *run.absolute().parents) if path.exists())
        disk = place.stat().st_dev
        by_disk[disk] = (place, by_disk.get(disk, (place, 0))[1] + size)
    said = []
    for place, size in by_disk.values():
        free = shutil.disk_usage(place).free
        if size > free and here:
            raise InputError(
                where=f"disk of {place}", found=f"{free / GIB:,.0f} GiB free",
                expected=f"{size / GIB:,.0f} GiB for checkpoints",
                fix="Free some space, choose another disk, or lower checkpoint.keep.",
            )  # fmt: skip
        short = "not " if size > free else ""
        said.append(f"{size / GIB:,.1f} GiB, which {place} {short}has ({free / GIB:,.0f} free)")
    return ", ".join(said)


def memory_fits(where: str, needed: int, gib: int | None) -> str:
    """Refuse a run that needs more memory than a GPU has.

    Args:
        where: the run.
        needed: bytes of the fullest rank, as `plan` counts them.
        gib: of one GPU; None where it isn't known.

    Raises:
        InputError: it needs more.
    """
    asked = HEADROOM * needed / GIB
    if gib is None:
        return f"{where} about {asked:,.1f} GiB a rank"
    if asked > gib:
        raise InputError(
            where=f"memory of {where}", found=f"about {asked:,.1f} GiB needed by the fullest rank",
            expected=f"at most {gib}, what the cluster's file says that a GPU has",
            fix="Raise layout.tensor or layout.pipeline, lower batch.micro_batch, set layout.recompute to full, or "
            "use more nodes.",
        )  # fmt: skip
    return f"{where} about {asked:,.1f} of {gib} GiB a rank"


def starts_of(hours: float | None, *, limit_seconds: float, notice: int) -> int | None:
    """How often a run is started until it is done, if nothing happens but its time limit."""
    return None if hours is None else max(1, math.ceil(3600 * hours / (limit_seconds - notice)))


def wandb_says(mode: str) -> str:
    """Whether W&B hears of the run while it trains."""
    if mode != "online":
        return mode
    address = os.environ.get("WANDB_BASE_URL", WANDB)
    try:
        urllib.request.urlopen(address, timeout=WANDB_SECONDS).close()
    except urllib.error.HTTPError:
        pass  # it answers
    except (OSError, ValueError) as error:
        return f"online, but {address} can't be reached from here ({error}): curves stay in the run folder"
    return f"online, {address} answers"


def quality_allows(folder: Path) -> str:
    """Refuse a corpus that the quality check has found wanting.

    Args:
        folder: output of `megatron-ext quality`.

    Raises:
        InputError: there is no verdict, or it is no go.
    """
    path = folder / VERDICT
    verdict = json.loads(path.read_text()).get("verdict") if path.is_file() else None
    if not verdict:
        raise InputError(
            where=str(path), found="no verdict", expected="one: go or no go",
            fix="Run `megatron-ext quality ... --threshold configs/quality/mideval.yaml` first.",
        )  # fmt: skip
    if not verdict["go"]:
        raise InputError(
            where=str(path), found="no go: " + "; ".join(verdict["reasons"]), expected="a corpus that keeps its bounds",
            fix="Better the synthesis, or launch without --quality.",
        )  # fmt: skip
    return f"go ({path})"
