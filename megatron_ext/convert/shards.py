"""Folders of safetensors: what is in them, one tensor at a time, and new ones in files of a size that can be moved.

A folder holds `model.safetensors`, or several files and `model.safetensors.index.json`, which says what is where.
Everything that can be wrong with a folder shows in the headers of its files, before a single weight is read.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_tools.errors import InputError
from megatron_ext.convert.names import Entry

if TYPE_CHECKING:
    from torch import Tensor

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD_BYTES = 5_000_000_000
"""Most bytes of tensors in a file, unless one tensor alone has more."""
FLOATS = {"F32", "F16", "BF16"}
NOT_WEIGHTS = ("rotary_emb.inv_freq",)
"""Endings of names that old files hold beside the weights: they follow from the config."""
WHOLE_AGAIN = "Download or save the folder again."


@dataclass(frozen=True)
class Stored:
    """A tensor in a file."""

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: str
    """As safetensors calls it, such as BF16."""

    def read(self) -> "Tensor":
        from safetensors import safe_open

        with safe_open(self.file, framework="pt") as file:
            return file.get_tensor(self.name)


def files_of(folder: Path) -> list[Path]:
    """The files that hold the weights.

    Raises:
        InputError: there are none, or the index names one that isn't there.
    """
    if not (folder / INDEX).is_file():
        if not (folder / SINGLE).is_file():
            found = "weights in another format" if any(folder.glob("*.bin")) else f"no {SINGLE} and no {INDEX}"
            raise InputError(
                where=str(folder), found=found, expected="weights in safetensors",
                fix="Save the model with `save_pretrained` of transformers, which writes them.",
            )  # fmt: skip
        return [folder / SINGLE]
    files = sorted({folder / name for name in _weight_map(folder).values()})
    for file in files:
        if not file.is_file():
            raise InputError(
                where=str(file), found="no such file", expected=f"a file that {INDEX} names", fix=WHOLE_AGAIN
            )
    return files


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """Name -> every tensor in a folder.

    Raises:
        InputError: a file is missing, cut short, or lacks a tensor that the index promises in it.
    """
    stored = {tensor.name: tensor for file in files_of(folder) for tensor in _header(file)}
    promised = _weight_map(folder) if (folder / INDEX).is_file() else {}
    for name, file in promised.items():
        if name not in stored or stored[name].file != folder / file:
            raise InputError(
                where=str(folder / file), found=f"no tensor {name}", expected=f"what {INDEX} says is in it",
                fix=WHOLE_AGAIN,
            )  # fmt: skip
    return stored


def require_entries(stored: dict[str, Stored], entries: Iterable[Entry], *, folder: Path, tied: bool) -> None:
    """Refuse a folder whose tensors aren't exactly those of the model.

    Args:
        stored: what the folder holds.
        entries: what the model has.
        folder: as errors name it.
        tied: whether the output layer is the embedding, so that a copy of it may be there too.

    Raises:
        InputError: a tensor is missing, too many, of another shape, or not of floating-point numbers.
    """
    known = set()
    for entry in entries:
        known.add(entry.theirs)
        if entry.theirs not in stored:
            raise InputError(
                where=str(folder), found=f"no tensor {entry.theirs}", expected=f"one of shape {entry.shape}",
                fix="Take config.json and the weights from the same place, whole.",
            )  # fmt: skip
        tensor = stored[entry.theirs]
        if tensor.shape != entry.shape or tensor.dtype not in FLOATS:
            raise InputError(
                where=f"{tensor.file}, tensor {entry.theirs}", found=f"shape {tensor.shape} of {tensor.dtype}",
                expected=f"shape {entry.shape}, by config.json, of {', '.join(sorted(FLOATS))}",
                fix="Take config.json and the weights from the same place, not quantized.",
            )  # fmt: skip
    for name in sorted(stored.keys() - known):
        if name.endswith(NOT_WEIGHTS) or (tied and name == "lm_head.weight" and _same(stored, name)):
            continue
        raise InputError(
            where=f"{stored[name].file}, tensor {name}", found="a tensor that this model has no place for",
            expected="the tensors that config.json speaks of, and no others",
            fix="Take config.json and the weights from the same place; biases and adapters can't be imported.",
        )  # fmt: skip


def write_shards(folder: Path, tensors: Iterator[tuple[str, "Tensor"]], *, plan: list[list[str]]) -> None:
    """Write tensors in the given files; one file's tensors are in memory at a time.

    Args:
        folder: to write into.
        tensors: name and values, in the order of the plan.
        plan: names in each file, as `shard_plan` gives them.
    """
    from safetensors.torch import save_file

    files = [SINGLE] if len(plan) == 1 else [f"model-{n:05d}-of-{len(plan):05d}.safetensors" for n in _counted(plan)]
    total = 0
    for file, names in zip(files, plan, strict=True):
        part = dict(next(tensors) for _ in names)
        total += sum(tensor.nbytes for tensor in part.values())
        save_file(part, folder / file, metadata={"format": "pt"})
    if len(plan) > 1:
        weight_map = {name: file for file, names in zip(files, plan, strict=True) for name in names}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n")


def shard_plan(sizes: Iterable[tuple[str, int]], *, limit: int = SHARD_BYTES) -> list[list[str]]:
    """Names in each file, in their order, for tensors of these sizes in bytes."""
    plan: list[list[str]] = [[]]
    used = 0
    for name, size in sizes:
        if plan[-1] and used + size > limit:
            plan.append([])
            used = 0
        plan[-1].append(name)
        used += size
    return plan


def _counted(plan: list[list[str]]) -> range:
    return range(1, len(plan) + 1)


def _header(file: Path) -> Iterator[Stored]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no dict
                part = opened.get_slice(name)
                yield Stored(file, name, tuple(part.get_shape()), part.get_dtype())
    except SafetensorError as error:
        raise InputError(
            where=str(file), found=f"no whole safetensors file ({error})", expected="one", fix=WHOLE_AGAIN
        ) from None


def _weight_map(folder: Path) -> dict[str, str]:
    try:
        weight_map: Any = json.loads((folder / INDEX).read_text())["weight_map"]
        return dict(weight_map)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            where=str(folder / INDEX), found=f"no index ({error!r})", expected="JSON with a weight_map", fix=WHOLE_AGAIN
        ) from None


def _same(stored: dict[str, Stored], name: str) -> bool:
    return stored[name].read().equal(stored["model.embed_tokens.weight"].read())
