"""Sweeps: the walk ends at a point that no neighbour beats, and knows of nothing but the runs' folders."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from data_tools.errors import InputError
from megatron_ext.config import load_sweep
from megatron_ext.sweep.grid import Grid, State
from megatron_ext.sweep.picture import page
from megatron_ext.sweep.tasks import RunFailed
from megatron_ext.sweep.walk import propose, proposed, run_point, walk
from tests.support import ROOT, make_corpus, run_settings

GRID = {"schedule.peak_lr": [0.001, 0.003, 0.01], "optimizer.weight_decay": [0.1, 0.4, 0.8, 1.6], "seed": [1, 2]}


@pytest.fixture
def sweep(tmp_path):
    def made(grid=GRID, **changes):
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(run_settings(tmp_path / "corpus", steps=2)))
        settings = {"run": "run.yaml", "heldout": "corpus", "grid": grid} | changes
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        return Grid(load_sweep(tmp_path / "sweep.yaml"), "sweep.yaml")

    return made


def finish(folder: Path, loss: float) -> None:
    """What a run leaves when it was trained and evaluated, or has diverged."""
    folder.mkdir(parents=True, exist_ok=True)
    if math.isfinite(loss):
        (folder / "results.json").write_text(json.dumps({"heldout": {"loss": loss}}))
        return
    (folder / "config.json").write_text(json.dumps({"limits": {"skipped_steps": 3}}))
    (folder / "events.jsonl").write_text(json.dumps({"event": "skipped", "skipped_steps": 4}) + "\n")


def valley(point, lowest=(2, 1, 0)):
    return 3.0 + sum((a - b) ** 2 for a, b in zip(point, lowest, strict=True)) / 10


def runs_of(grid, folder, loss=valley):
    """Runs a point by writing down what a run would, and notes which."""
    done = []

    def run_one(run_file, run):
        point = next(point for point in grid if grid.name(point) == run.name)
        assert yaml.safe_load(run_file.read_text())["schedule"]["peak_lr"] == grid.values(point)["schedule.peak_lr"]
        done.append(point)
        finish(run, loss(point))
        return 0 if math.isfinite(loss(point)) else 1

    return run_one, done


@pytest.mark.parametrize("lowest", [(0, 0, 0), (2, 0, 1), (2, 3, 1)], ids=str)
def test_the_walk_ends_at_the_lowest_point_of_a_valley(sweep, tmp_path, lowest):
    grid = sweep()
    run_one, done = runs_of(grid, tmp_path / "runs", lambda point: valley(point, lowest))
    state = walk(grid, tmp_path / "runs", run_one)
    assert state.best == lowest
    assert state.accepted == [lowest]
    assert len(done) == len(set(done)) < len(list(grid)) + 1


def test_a_point_is_accepted_only_once_all_its_neighbours_are_finished_and_none_is_better(sweep, tmp_path):
    grid = sweep()
    finish(tmp_path / grid.name((1, 1, 0)), 3.0)
    for neighbour in grid.neighbours((1, 1, 0))[:-1]:
        finish(tmp_path / grid.name(neighbour), 3.1)
    state = State.of(grid, tmp_path)
    assert state.accepted == []
    assert state.next == grid.neighbours((1, 1, 0))[-1:]
    finish(tmp_path / grid.name(state.next[0]), 3.0)
    assert (1, 1, 0) in State.of(grid, tmp_path).accepted


def test_the_first_run_is_the_start_and_without_one_the_middle(sweep, tmp_path):
    assert State.of(sweep(), tmp_path).next == [(1, 1, 0)]
    grid = sweep(start={"schedule.peak_lr": 0.01, "seed": 2})
    assert State.of(grid, tmp_path).next == [(2, 1, 1)]


def test_a_run_that_diverged_is_worse_than_any_other_and_does_not_stop_the_walk(sweep, tmp_path):
    grid = sweep()
    run_one, done = runs_of(grid, tmp_path / "runs", lambda point: math.inf if point[0] else valley(point, (0, 1, 0)))
    state = walk(grid, tmp_path / "runs", run_one)
    assert state.accepted == [(0, 1, 0)]
    assert json.loads((tmp_path / "runs" / "sweep.json").read_text())["finished"][-1]["loss"] == "diverged"


def test_a_walk_that_was_interrupted_goes_on_from_the_folders(sweep, tmp_path):
    grid = sweep()
    run_one, done = runs_of(grid, tmp_path / "runs")
    walk(grid, tmp_path / "runs", run_one, most=3)
    assert len(done) == 3
    walk(grid, tmp_path / "runs", run_one)
    assert len(done) == len(set(done))
    assert State.of(grid, tmp_path / "runs").accepted == [(2, 1, 0)]


def test_a_run_that_fails_otherwise_ends_the_sweep(sweep, tmp_path):
    with pytest.raises(RunFailed, match="status 1 and no loss"):
        walk(sweep(), tmp_path / "runs", lambda run_file, run: 1)


def test_the_next_runs_are_written_as_an_array_whose_tasks_run_one_each(sweep, tmp_path):
    grid = sweep()
    finish(tmp_path / "runs" / grid.name((1, 1, 0)), 3.0)
    script = propose(grid, tmp_path / "runs", ["run", "one point", "--task"])
    assert script.read_text().splitlines() == [
        "#!/bin/bash", "#SBATCH --array=0-4", "run 'one point' --task \"$SLURM_ARRAY_TASK_ID\"",
    ]  # fmt: skip
    run_one, done = runs_of(grid, tmp_path / "runs")
    for task in range(5):
        run_point(grid, tmp_path / "runs", proposed(tmp_path / "runs", task), run_one)
    assert done == grid.neighbours((1, 1, 0))
    with pytest.raises(InputError, match="5 proposed runs"):
        proposed(tmp_path / "runs", 5)


@pytest.mark.parametrize(("grid", "message"), [
    ({"schedule.peek_lr": [0.1]}, "peek_lr"), ({"shedule.peak_lr": [0.1]}, "found shedule.peak_lr"),
    ({"schedule.peak_lr": [0.01, -1.0]}, "peak_lr=-1.0"), ({"seed": [1, 1]}, "Leave repeated ones out"),
])  # fmt: skip
def test_settings_that_no_run_takes_are_refused_before_anything_is_run(sweep, tmp_path, grid, message):
    with pytest.raises(InputError, match=message):
        walk(sweep(grid), tmp_path / "runs", lambda run_file, run: pytest.fail("it was run"))


def test_a_start_off_the_grid_is_refused(sweep):
    with pytest.raises(InputError, match="Begin at a point of the grid"):
        sweep(start={"seed": 9})


@pytest.mark.parametrize("names", [1, 2, 3])
def test_the_picture_shows_any_number_of_settings(sweep, tmp_path, names):
    grid = sweep(dict(list(GRID.items())[:names]))
    run_one, _ = runs_of(grid, tmp_path / "runs", lambda point: valley(point, (2, 1, 0)[:names]))
    state = walk(grid, tmp_path / "runs", run_one)
    picture = page(state)
    assert f"{len(state.losses)} of {len(list(grid))} points" in picture
    assert f"{state.losses[state.best]:.4f}" in picture


@pytest.mark.slow
def test_a_sweep_of_real_runs_ends_at_an_accepted_point(tmp_path):
    corpus = make_corpus(tmp_path)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run_settings(corpus, steps=4)))
    settings = {"run": "run.yaml", "heldout": "corpus", "grid": {"schedule.peak_lr": [0.003, 0.01, 0.03]}}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    command = [sys.executable, "-m", "megatron_ext", "sweep", str(tmp_path / "sweep.yaml"), str(tmp_path / "runs")]
    done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["next"] == []
    assert result["accepted"] == [result["finished"][0]["run"]]
    assert len(result["finished"]) >= 2
