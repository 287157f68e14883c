"""The `sweep` command: a grid of runs, here one after the other, or proposed as Slurm arrays."""

import subprocess
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

        processes = ["--processes", str(grid.config.processes)]
        status = _run("train", str(run_file), "--output", str(run), *processes)
        if status or not is_finished(run):  # it was told to stop, and has saved
            return status or EXIT_FAILED
        return _run("eval", str(run), "--heldout", str(grid.config.heldout), *processes)

    if task is not None:
        run_point(grid, folder, proposed(folder, task), run_one)
        return
    if array:
        command = [
            sys.executable,
            "-m",
            "megatron_ext",
            "sweep",
            str(file.absolute()),
            str(folder.absolute()),
            "--task",
        ]
        script = propose(grid, folder, command)
        say(f"Submit: sbatch {script}" if script else "Nothing is left to run: the best point is accepted.")
        return
    print_result(described(walk(grid, folder, run_one, most=most)), as_json=as_json)


def _run(*arguments: str) -> int:
    """A command of ours as a process that ends with this one."""
    from data_tools.processes import die_with_parent

    command = [sys.executable, "-m", "megatron_ext", *arguments]
    return subprocess.run(command, stdout=sys.stderr, check=False, preexec_fn=die_with_parent).returncode
