"""What a run's probes gave, read back: steps, values, and which passages were shown when. No torch.

`RUN/knowledge/probes.json` says what was measured, `values.bin` holds the measurements: records of one size, little
endian, an int64 step and a float32 for each probe. A last record that was cut short is not read.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_tools.files import require_file

FOLDER = "knowledge"
PROBES, VALUES = "probes.json", "values.bin"


@dataclass(frozen=True)
class ProbeInfo:
    """One probe: a text whose end a model may know."""

    passage: int
    """Its number in the facts file, from 0."""
    group: str | None
    """How its passage was shown; None: never."""
    kind: str
    """memorisation, semantic or compositional."""


@dataclass(frozen=True)
class Record:
    """Measurements of a run. Shapes: N measured steps, P probes."""

    steps_N: np.ndarray
    """int64, rising: how many updates had been made."""
    values_NP: np.ndarray
    """float32: mean log-probability of each token of the target, in nats."""
    probes: tuple[ProbeInfo, ...]
    shown: dict[int, tuple[int, ...]]
    """Passage -> steps in whose batch it stood, rising."""
    tokens_per_step: int


def read_record(run: Path) -> Record:
    """The record in a run's folder.

    Raises:
        InputError: there is none.
    """
    fix = "Name the folder of a run whose file has a `knowledge:` section, once it has been started."
    file = require_file(run / FOLDER / PROBES, fix=fix)
    values = require_file(run / FOLDER / VALUES, fix=fix)
    said = json.loads(file.read_text())
    probes = tuple(ProbeInfo(probe["passage"], probe["group"], probe["kind"]) for probe in said["probes"])
    kind = np.dtype([("step", "<i8"), ("values", "<f4", (len(probes),))])
    whole = values.stat().st_size // kind.itemsize
    found = np.fromfile(values, dtype=kind, count=whole)
    shown = {int(passage): tuple(steps) for passage, steps in said["shown"].items()}
    return Record(found["step"].copy(), found["values"].copy(), probes, shown, said["tokens_per_step"])
