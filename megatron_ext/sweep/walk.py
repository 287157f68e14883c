"""Going on with a sweep: the files of its next runs, one after the other or as the tasks of a Slurm array."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from data_tools.files import write_whole
from megatron_ext.config import as_dict
from megatron_ext.sweep.grid import Grid, Point, State, loss_of
from megatron_ext.sweep.picture import page
from megatron_ext.sweep.tasks import RunFailed, task_of, write_array

STATE, PICTURE = "sweep.json", "sweep.html"

RunOne = Callable[[Path, Path], int]
"""run_one(run file, run folder) -> exit status: trains and evaluates."""


def walk(grid: Grid, folder: Path, run_one: RunOne, *, most: int | None = None) -> State:
    """Run what is next, again and again, until the best point is accepted.

    Args:
        grid: the sweep.
        folder: of its runs.
        run_one: trains and evaluates one.
        most: runs at most.

    Raises:
        InputError: a point of the grid is no run.
        RunFailed: a run ended without a loss.
    """
    done = 0
    while (state := written(grid, folder)).next and (most is None or done < most):
        for point in state.next[: None if most is None else most - done]:
            run_point(grid, folder, point, run_one)
            written(grid, folder)
            done += 1
    return state


def run_point(grid: Grid, folder: Path, point: Point, run_one: RunOne) -> None:
    """Run one point, or go on with it.

    Raises:
        RunFailed: it ended without a loss.
    """
    run = folder / grid.name(point)
    status = run_one(run_file(grid, folder, point), run)
    if status and loss_of(run) is None:
        raise RunFailed(f"{run} ended with status {status} and no loss; what is finished is kept: look at its events.")


def run_file(grid: Grid, folder: Path, point: Point) -> Path:
    """Write the run file of a point beside its folder."""
    path = folder / f"{grid.name(point)}.yaml"
    write_whole(path, yaml.safe_dump(as_dict(grid.run(point)), sort_keys=False))
    return path


def propose(grid: Grid, folder: Path, command: Sequence[str]) -> Path | None:
    """Write the next runs as a Slurm array; returns the batch file, or None once the best point is accepted.

    Args:
        grid: the sweep.
        folder: of its runs.
        command: that runs one task of the array, given the task's number at its end.
    """
    state = written(grid, folder)
    if not state.next:
        return None
    for point in state.next:
        run_file(grid, folder, point)
    return write_array(folder, [list(point) for point in state.next], command)


def proposed(folder: Path, task: int) -> Point:
    """The point of one task of the array.

    Raises:
        InputError: the array has no such task.
    """
    return tuple(task_of(folder, task))


def written(grid: Grid, folder: Path) -> State:
    """What is known now, also as `sweep.json` and as a picture."""
    for point in grid:
        grid.run(point)  # so that no run of the grid is refused after others have cost their hours
    state = State.of(grid, folder)
    write_whole(folder / STATE, json.dumps(described(state), indent=1) + "\n")
    write_whole(folder / PICTURE, page(state))
    return state


def described(state: State) -> dict[str, Any]:
    """Finished points from the best on, the accepted ones and the next."""
    grid = state.grid
    ordered = sorted(state.losses, key=lambda point: state.losses[point])
    return {
        "points": len(list(grid)),
        "finished": [{"run": grid.name(point), "loss": _plain(state.losses[point])} for point in ordered],
        "accepted": [grid.name(point) for point in state.accepted],
        "next": [grid.name(point) for point in state.next],
    }


def _plain(loss: float) -> float | str:
    return loss if loss < float("inf") else "diverged"
