"""The grid of a sweep, what is known of its points, and which to run next.

The rule of acceptance is the megadoc paper's: a point is accepted when no neighbour, one step away in one setting, is
better. The walk begins at the start and always looks at the neighbours of the best point so far. State is nothing but
the runs' own folders.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from megatron_ext.config import RunConfig, as_dict, load_run, run_from_dict
from megatron_ext.config.sweep import SweepConfig, Value, changed

Point = tuple[int, ...]
"""Number of the value of each setting, in the order of the grid."""


@dataclass(frozen=True)
class Grid:
    """All points of a sweep."""

    config: SweepConfig
    where: str
    """The sweep's file, for errors."""

    @property
    def names(self) -> list[str]:
        return list(self.config.grid)

    @property
    def start(self) -> Point:
        return tuple(
            values.index(self.config.start[name]) if name in self.config.start else (len(values) - 1) // 2
            for name, values in self.config.grid.items()
        )

    def __iter__(self) -> Iterator[Point]:
        return iter(product(*(range(len(values)) for values in self.config.grid.values())))

    def neighbours(self, point: Point) -> list[Point]:
        """Points one step away in one setting."""
        sizes = [len(values) for values in self.config.grid.values()]
        return [
            (*point[:place], point[place] + step, *point[place + 1 :])
            for place in range(len(point)) for step in (-1, 1) if 0 <= point[place] + step < sizes[place]
        ]  # fmt: skip

    def values(self, point: Point) -> dict[str, Value]:
        """Setting -> value."""
        return {name: values[at] for at, (name, values) in zip(point, self.config.grid.items(), strict=True)}

    def name(self, point: Point) -> str:
        """Of the run's folder: `peak_lr=0.003,weight_decay=0.4`."""
        return ",".join(f"{name.rsplit('.', 1)[-1]}={value}" for name, value in self.values(point).items())

    def run(self, point: Point) -> RunConfig:
        """The run of a point.

        Raises:
            InputError: the run has no such setting, or can't take that value.
        """
        where = f"{self.where}, point {self.name(point)}"
        try:
            settings = changed(self._base, self.values(point))
        except KeyError as error:
            raise InputError(
                where=f"{self.where}, key 'grid'", found=str(error.args[0]),
                expected=f"settings of {self.config.run}, such as schedule.peak_lr", fix="Correct the name.",
            ) from None  # fmt: skip
        return run_from_dict(settings, where=where)

    @cached_property
    def _base(self) -> dict[str, Any]:
        return as_dict(load_run(self.config.run))


@dataclass(frozen=True)
class State:
    """What the folders of a sweep say."""

    grid: Grid
    losses: dict[Point, float]
    """Of finished points; infinite for one that diverged."""

    @classmethod
    def of(cls, grid: Grid, folder: Path) -> "State":
        found = {point: loss_of(folder / grid.name(point)) for point in grid}
        return cls(grid, {point: loss for point, loss in found.items() if loss is not None})

    @property
    def best(self) -> Point | None:
        """The finished point of least loss."""
        return min(self.losses, key=lambda point: (self.losses[point], point)) if self.losses else None

    @property
    def accepted(self) -> list[Point]:
        """Points that no neighbour is better than, all of these being finished."""
        return [point for point, loss in self.losses.items() if math.isfinite(loss) and self._is_unbeaten(point)]

    def _is_unbeaten(self, point: Point) -> bool:
        unknown_is_better = -math.inf
        neighbours = (self.losses.get(other, unknown_is_better) for other in self.grid.neighbours(point))
        return all(loss >= self.losses[point] for loss in neighbours)

    @property
    def next(self) -> list[Point]:
        """Points to run now, all of which may run at a time; none once the best point is accepted."""
        best = self.best
        if best is None:
            return [self.grid.start]
        if not math.isfinite(self.losses[best]):
            return sorted({other for point in self.losses for other in self.grid.neighbours(point)} - set(self.losses))
        return [point for point in self.grid.neighbours(best) if point not in self.losses]


def loss_of(run: Path) -> float | None:
    """Held-out loss of a run that was trained and evaluated; infinite if it diverged; None if it isn't finished."""
    results = run / "results.json"
    if results.exists():
        found = json.loads(results.read_text()).get("heldout")
        return None if found is None else float(found["loss"])
    return math.inf if _diverged(run) else None


def _diverged(run: Path) -> bool:
    """Whether more steps had to be left out than the run allows."""
    events, config = run / "events.jsonl", run / "config.json"
    if not (events.exists() and config.exists()):
        return False
    limit = json.loads(config.read_text())["limits"]["skipped_steps"]
    with events.open() as lines:
        return any('"skipped"' in line and json.loads(line).get("skipped_steps", 0) > limit for line in lines)
