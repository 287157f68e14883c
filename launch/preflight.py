"""What is looked at before a job is queued, besides what a run itself refuses: paths, disk, memory, time, W&B, quality.

Each function refuses, or returns a sentence for the person who launches. Sizes and hours come in as numbers.
"""

import json
import math
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_tools.errors import InputError

GIB = 2**30
HEADROOM = 1.2
"""Of memory: buffers and fragmentation come on top of what can be counted."""
WANDB = "https://api.wandb.ai"
WANDB_SECONDS = 5.0
VERDICT = "quality.json"


def require_shared(shared: Sequence[str], paths: Mapping[str, Path]) -> None:
    """Refuse paths that not all nodes see.

    Args:
        shared: folders that they do see; none where nobody has said.
        paths: what is read or written -> where.

    Raises:
        InputError: one of them lies elsewhere.
    """
    for name, path in paths.items():
        if not is_shared(path, shared):
            raise InputError(
                where=name, found=os.path.abspath(path), expected=f"a path in {', '.join(shared)}",
                fix="Move it to a disk that all nodes see, or add its disk to `shared` in the cluster's file.",
            )  # fmt: skip


def is_shared(path: Path, shared: Sequence[str]) -> bool:
    """Whether all nodes see a path, as far as anybody has said."""
    place = Path(os.path.abspath(path))  # without `..`; a link keeps its name, under which a container sees it
    return not shared or any(place.is_relative_to(folder) for folder in shared)


def documents_readable(files: Sequence[Path], shared: Sequence[str], *, here: bool) -> str:
    """Refuse documents that are missing, or that not all nodes see.

    Args:
        files: of an experiment, or folders of them.
        shared: as for `require_shared`.
        here: whether this is where they have to be; elsewhere, what is wrong is only said.

    Raises:
        InputError: one can't be read by the jobs.
    """
    missing = [path for path in files if not path.exists()]
    if here:
        if missing:
            raise InputError(
                where="corpus", found=f"no {missing[0]}", expected="files of documents, or folders of them",
                fix="Correct the paths in the experiment file.",
            )  # fmt: skip
        require_shared(shared, {f"corpus.{number}": path for number, path in enumerate(files)})
    remarks = {"not here": missing, "not on a shared disk": [path for path in files if not is_shared(path, shared)]}
    return ", ".join(
        f"{path}" + "".join(f", {remark}" for remark, paths in remarks.items() if path in paths) for path in files
    )


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
        enough = "which" if size <= free else "more than"
        said.append(f"{size / GIB:,.1f} GiB, {enough} {place} has ({free / GIB:,.0f} free)")
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
