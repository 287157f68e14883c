"""What a run remembers of its probes: `<run>/knowledge/`, written while it trains and readable at any moment. No torch.

`probes.json` says what is asked, `values.bin` holds the answers: records of one size, each an int64 step t (updates
made before the measurement) and a float32 for each probe, the mean log-probability per token of its target in nats,
little endian. Records only ever come behind one another, with rising steps. What a kill left of the last one doesn't
count, and a run that goes on from a checkpoint measures again from there: the file of a run that was interrupted is
that of one that was not.

Shape suffixes: N measurements, P probes.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from data_tools.errors import InputError
from data_tools.files import write_whole

FOLDER, PROBES, VALUES = "knowledge", "probes.json", "values.bin"


@dataclass(frozen=True, slots=True)
class ProbeInfo:
    """What a probe is about."""

    passage: int
    group: str | None
    """Of the passage: how it is shown. None: never."""
    kind: str
    """memorisation, semantic or compositional."""


@dataclass(frozen=True, eq=False)
class Record:
    """The measurements of a run."""

    steps_N: np.ndarray
    """int64: updates made before each measurement, rising."""
    values_NP: np.ndarray
    """float32: mean log-probability per token of each probe's target, in nats."""
    probes: tuple[ProbeInfo, ...]
    shown: dict[int, tuple[int, ...]]
    """Passage -> steps in whose batch it is shown, counted from 0."""
    tokens_per_step: int


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `probes.json` says."""

    probes: Sequence[Mapping[str, Any]]
    """passage, group, kind, prompt, target, target_tokens of each."""
    shown: Mapping[int, Sequence[int]]
    tokens_per_step: int
    facts: str
    """Hash of the facts file."""


class RecordWriter:
    """Adds to the record of a run that begins, or goes on, with the measurement before update `first`."""

    def __init__(self, run: Path, asked: Asked, *, first: int):
        self.files = (run / FOLDER / PROBES, run / FOLDER / VALUES)
        described, values = self.files
        write_whole(described, json.dumps(asdict(asked), indent=1, ensure_ascii=False) + "\n")
        self._layout = _layout(len(asked.probes))
        values.touch()
        kept = np.searchsorted(_measured(values, self._layout)["step"], first)
        os.truncate(values, int(kept) * self._layout.itemsize)
        self._file = values.open("ab", buffering=0)

    def add(self, step: int, values_P: np.ndarray) -> None:
        """One measurement, handed to the system in one piece."""
        record = np.zeros(1, dtype=self._layout)
        record["step"], record["values"] = step, values_P
        self._file.write(record.tobytes())

    def sync(self) -> None:
        """Everything measured so far is on the disk when this returns."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self.sync()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def require_same(run: Path, asked: Asked) -> None:
    """Refuse to go on with the record of other probes.

    Raises:
        InputError: the run folder holds one.
    """
    described = run / FOLDER / PROBES
    if not described.exists():
        return
    before = json.loads(described.read_text())["probes"]
    if _without_groups(before) != _without_groups(asked.probes):
        raise InputError(
            where=str(described), found="a record of other probes",
            expected="those of this run's facts and tokenizer, in their order",
            fix="Restore what the run was started with, or train into a new folder.",
        )  # fmt: skip


def _without_groups(probes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A schedule may change while its steps are still to come."""
    return [{**probe, "group": None} for probe in probes]


def read_record(run: Path) -> Record:
    """What was measured in a run so far; it may be training.

    Raises:
        InputError: the run keeps no such record, or it is damaged.
    """
    described, values = run / FOLDER / PROBES, run / FOLDER / VALUES
    if not (described.exists() and values.exists()):
        raise InputError(
            where=str(run), found=f"no {FOLDER}/{PROBES} with {VALUES}", expected="a run that was trained with probes",
            fix="Add `knowledge:` to the run file, and train; or name another run.",
        )  # fmt: skip
    asked = json.loads(described.read_text())
    measured = _measured(values, _layout(len(asked["probes"])))
    steps_N = measured["step"].astype(np.int64)
    if (np.diff(steps_N, prepend=-1) <= 0).any():
        raise InputError(
            where=str(values), found=f"steps that do not rise, the last {steps_N[-1]}",
            expected=f"records of a step and {len(asked['probes'])} values each, as {PROBES} says",
            fix="Both files have to be of the same run: restore them, or train again.",
        )  # fmt: skip
    return Record(
        steps_N=steps_N,
        values_NP=measured["values"].astype(np.float32),
        probes=tuple(ProbeInfo(probe["passage"], probe["group"], probe["kind"]) for probe in asked["probes"]),
        shown={int(passage): tuple(steps) for passage, steps in asked["shown"].items()},
        tokens_per_step=asked["tokens_per_step"],
    )


def _layout(probes: int) -> np.dtype:
    return np.dtype([("step", "<i8"), ("values", "<f4", (probes,))])


def _measured(path: Path, layout: np.dtype) -> np.ndarray:
    """All whole records; what is left of a torn last one is passed over."""
    with path.open("rb") as file:
        whole = os.fstat(file.fileno()).st_size // layout.itemsize
        return np.fromfile(file, dtype=layout, count=whole)
