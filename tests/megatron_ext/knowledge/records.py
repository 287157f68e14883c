"""Records of probes with known answers, in memory and as a run's folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from megatron_ext.knowledge.record import ProbeInfo, Record

LARGE = {"layers": 4, "hidden": 64, "ffn": 128, "heads": 4, "kv_heads": 2, "vocabulary": 512}
SMALL = LARGE | {"layers": 2, "hidden": 32, "ffn": 64}


def record(
    *series: Sequence[float],
    shown: Mapping[int, Sequence[int]],
    steps: Sequence[int] | None = None,
    probes: Sequence[ProbeInfo] | None = None,
) -> Record:
    """One probe a series; by default probe i asks for passage i, and every step from 0 was measured."""
    values_NP = np.array(series, dtype=np.float32).T
    return Record(
        np.array(range(len(values_NP)) if steps is None else steps, dtype=np.int64), values_NP,
        tuple(probes or (ProbeInfo(i, "duplicated", "memorisation") for i in range(len(series)))),
        {passage: tuple(at) for passage, at in shown.items()}, 1000,
    )  # fmt: skip


def facts_run(
    gains: Mapping[str, Mapping[str, float]],
    *,
    decay: Mapping[str, float] | float = 0.5,
    later: float = 0.5,
    passages: int = 8,
    spread: float = 0.1,
    steps: int = 301,
    tokens_per_step: int = 1000,
) -> Record:
    """Passages of some groups whose measures are known.

    The first of 4 showings (1 of the group `once`), 20 steps apart, raises l by `gains[group][kind]` in the step after
    it, a later one by `later` times that. After the last R falls by `decay` for each factor of ten. The gains of a
    passage are `spread` times more or less than those of the group.
    """
    series, probes, shown = [], [], {}
    for group, kinds in gains.items():
        falls = decay if isinstance(decay, float) else decay[group]
        for number in range(passages):
            passage, own = len(shown), 1 + spread * (2 * number / (passages - 1) - 1)
            shown[passage] = [0] if group == "once" else [0, 20, 40, 60]
            for kind, gain in kinds.items():
                series.append(-5 + own * gain * _course(shown[passage], falls, later, steps))
                probes.append(ProbeInfo(passage, group, kind))
    return replace(record(*series, shown=shown, probes=probes), tokens_per_step=tokens_per_step)


def _course(shown: Sequence[int], decay: float, later: float, steps: int) -> np.ndarray:
    course = np.zeros(steps)
    for place, at in enumerate(shown):
        course[at + 1 :] += later if place else 1.0
    after = np.arange(steps - shown[-1] - 2) + 1
    course[shown[-1] + 2 :] *= 1 - decay * np.log10(after)
    return course


def write_run(folder: Path, found: Record, model: Mapping[str, int] | None = SMALL) -> Path:
    """A run's folder that holds a record, laid out as docs/formats.md says."""
    (folder / "knowledge").mkdir(parents=True)
    said = {
        "probes": [
            {"passage": probe.passage, "group": probe.group, "kind": probe.kind, "prompt": "Mars is", "target": "red",
             "target_tokens": 1}
            for probe in found.probes
        ],
        "shown": {str(passage): list(steps) for passage, steps in found.shown.items()},
        "tokens_per_step": found.tokens_per_step, "facts": "0" * 64,
    }  # fmt: skip
    (folder / "knowledge" / "probes.json").write_text(json.dumps(said))
    layout = np.dtype([("step", "<i8"), ("values", "<f4", (len(found.probes),))])
    rows = np.zeros(len(found.steps_N), dtype=layout)
    rows["step"], rows["values"] = found.steps_N, found.values_NP
    rows.tofile(folder / "knowledge" / "values.bin")
    if model:
        (folder / "config.json").write_text(json.dumps({"model": dict(model)}))
    return folder
