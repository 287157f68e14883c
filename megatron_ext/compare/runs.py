"""The runs of a comparison: which there are, what each trains on, and where it lies. Nothing is read or written.

FOLDER/views/NAME             a view, or of a point of the scan the documents drawn for it
FOLDER/runs/ARM/SEED          a run; its run file is FOLDER/runs/ARM/SEED.yaml
FOLDER/evaluations/ARM/SEED   what was measured of it
FOLDER/ensembles/ARM          what was measured of the runs of an arm together
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from megatron_ext.config import ComparisonConfig, RunConfig, as_dict, run_from_dict
from megatron_ext.config.comparison import BASELINE, ScanPoint
from megatron_ext.config.sweep import Value, changed

REAL, SYNTHETIC = "real", "synthetic"
"""Names of the streams in each run."""

SHARED = (
    "model", "batch", "schedule", "optimizer", "layout", "checkpoint", "tracking", "limits", "precision", "seed",
)  # fmt: skip
"""Keys that a run takes over from the comparison."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of the comparison."""

    arm: str
    """Name of its arm, or of its point of the scan."""
    seed: int
    config: RunConfig
    epochs: int
    """Of the real stream."""
    real_tokens: int
    """In its real corpus, as far as they make whole steps: D."""

    @property
    def name(self) -> str:
        return f"{self.arm}/{self.seed}"

    @property
    def tokens(self) -> dict[str, int]:
        """Stream -> tokens trained."""
        return dict(self.config.mixture[0].tokens)


@dataclass(frozen=True)
class Comparison:
    """A comparison and its folder."""

    config: ComparisonConfig
    where: str
    """The file, for errors."""
    folder: Path

    def view(self, name: str) -> Path:
        return self.folder / "views" / name

    def run(self, run: PlannedRun) -> Path:
        return self.folder / "runs" / run.name

    def run_file(self, run: PlannedRun) -> Path:
        return self.folder / "runs" / f"{run.name}.yaml"

    def evaluation(self, run: PlannedRun) -> Path:
        return self.folder / "evaluations" / run.name

    def ensemble(self, arm: str) -> Path:
        return self.folder / "ensembles" / arm

    @cached_property
    def arms(self) -> dict[str, list[PlannedRun]]:
        """Arm -> its runs, by their seeds.

        Raises:
            InputError: `changes` of an arm name no setting of a run, or a value that it can't have.
        """
        return {
            name: [self._arm(name, self.config.seed + member) for member in range(members)]
            for name, members in self.config.members.items()
        }

    @cached_property
    def scan(self) -> list[tuple[ScanPoint, PlannedRun]]:
        """Points of the scan beside the baseline arm, which is one too.

        Raises:
            InputError: as for `arms`.
        """
        points = self.config.scan.points if self.config.scan else ()
        return [(point, self._point(point)) for point in points]

    @property
    def runs(self) -> Iterator[PlannedRun]:
        """All of them, the first of each arm before the others."""
        first = [runs[0] for runs in self.arms.values()]
        others = [run for runs in self.arms.values() for run in runs[1:]]
        yield from (*first, *(run for _, run in self.scan), *others)

    def _arm(self, name: str, seed: int) -> PlannedRun:
        arm, config = self.config.arms[name], self.config
        tokens = config.steps_per_epoch * config.batch.tokens_per_step
        real: dict[str, Any] = {"corpus": str(config.real)}
        if arm.view is None:
            settings: dict[str, Any] = {"sources": {REAL: real | {"tokens": tokens * arm.epochs}}}
        else:
            settings = {
                "sources": {REAL: real, SYNTHETIC: self._synthetic(arm.view)},
                "blend": {
                    "real": REAL, "epochs": arm.epochs, "steps_per_epoch": config.steps_per_epoch,
                    "weights": {SYNTHETIC: arm.weight},
                },
            }  # fmt: skip
        run = self._run(settings, arm.changes, seed, f"arms.{name}")
        return PlannedRun(name, seed, run, arm.epochs, tokens)

    def _point(self, point: ScanPoint) -> PlannedRun:
        name = f"{BASELINE}@{point.steps_per_epoch}"  # no arm may have an @ in its name
        tokens = point.steps_per_epoch * self.config.batch.tokens_per_step
        real = {"corpus": str(self.view(name).absolute()), "kind": "megadocs", "tokens": tokens * point.epochs}
        run = self._run({"sources": {REAL: real}}, point.changes, self.config.seed, "scan.points")
        return PlannedRun(name, self.config.seed, run, point.epochs, tokens)

    def _synthetic(self, view: str) -> dict[str, Any]:
        reading = self.config.views[view]
        return {
            "corpus": str(self.view(view).absolute()), "kind": "megadocs", "order": reading.order,
            "members": reading.members, "across_documents": reading.across_documents,
        }  # fmt: skip

    def _run(self, data: dict[str, Any], changes: Mapping[str, Value], seed: int, key: str) -> RunConfig:
        where = f"{self.where}, key '{key}'"
        try:
            settings = changed(self._shared, changes)
        except KeyError as error:
            raise InputError(
                where=f"{where}.changes", found=str(error.args[0]), expected=f"a setting below {', '.join(SHARED)}",
                fix="Write it as in a run file, such as `schedule.peak_lr: 0.01`.",
            ) from None  # fmt: skip
        tracking = settings["tracking"]
        kind = tracking["job_type"] or key.removeprefix("arms.")
        named = {"group": tracking["group"] or self.config.name, "job_type": kind}
        return run_from_dict(settings | data | {"seed": seed, "tracking": tracking | named}, where=where)

    @cached_property
    def _shared(self) -> dict[str, Any]:
        settings = as_dict(self.config)
        return {name: settings[name] for name in SHARED}
