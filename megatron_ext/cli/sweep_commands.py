"""The `sweep` command: a grid of runs, here one after the other, or proposed as Slurm arrays."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from data_tools.errors import EXIT_FAILED
from megatron_ext.cli.output import print_result, say


def sweep(
    file: Annotated[Path, typer.Argument(metavar="SWEEP", help="Sweep file, such as those in configs/sweeps/.")],
    folder: Annotated[Path, typer.Argument(help="Folder of its runs.")],
    most: Annotated[int | None, typer.Option(min=0, help="Runs at most; 0 only looks at what is there.")] = None,
    array: Annotated[bool, typer.Option("--array", help="Write the next runs as a Slurm array; run nothing.")] = False,
    task: Annotated[int | None, typer.Option(min=0, help="Run this task of the array only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for a program.")] = False,
) -> None:
    """Walk a grid of runs to a point that no neighbour, one step away in one setting, is better than.

    What is finished is known by the runs' own folders: called again, it goes on. See sweep.html in the folder.

    \b
    Example: megatron-ext sweep configs/sweeps/megadocs_200m.yaml runs/sweep --array
    """
    from megatron_ext.config import load_sweep
    from megatron_ext.sweep.grid import Grid
    from megatron_ext.sweep.walk import described, propose, proposed, run_point, walk

    grid = Grid(load_sweep(file), str(file))

    def run_one(run_file: Path, run: Path) -> int:
        from data_tools.corpus.manifest import is_finished
        from megatron_ext.cli.local import run_command

        processes = ["--processes", str(grid.config.processes)]
        status = run_command("train", str(run_file), "--output", str(run), *processes)
        if status or not is_finished(run):  # it was told to stop, and has saved
            return status or EXIT_FAILED
        return run_command("eval", str(run), "--heldout", str(grid.config.heldout), *processes)

    if task is not None:
        run_point(grid, folder, proposed(folder, task), run_one)
        return
    if array:
        words = ("sweep", str(file.absolute()), str(folder.absolute()), "--task")
        command = [sys.executable, "-m", "megatron_ext", *words]
        script = propose(grid, folder, command)
        say(f"Submit: sbatch {script}" if script else "Nothing is left to run: the best point is accepted.")
        return
    print_result(described(walk(grid, folder, run_one, most=most)), as_json=as_json)
