"""One function over many shards: in this process, in a pool, over MPI ranks, or over the tasks of a Slurm array.

Promises, whoever does the work: the same shards give the same files; a shard is given to whoever is free; one whose
record is on the disk is never done again; a worker that dies costs only the shard that it was at.

There is no scheduler of our own. A pool is Python's, ranks are mpi4py's, and the tasks of an array share the shards
out by number: each does its own, and the one that finds all of them done makes the output.
"""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from data_tools.errors import EndedEarly, InputError
from data_tools.files import OTHERS_MAY_NEED, SHARDS, flush, locked, text_hash, write_whole
from data_tools.processes import die_with_parent

RECORD = "done.json"
"""In a shard's folder once it is finished: its counts."""

PARTED = "parted"
"""Beside the shards' folders: a hash of what they were."""

QUEUED = 2
"""Shards given out for each worker, so that none waits for the next."""

MOST_DEATHS = 3
"""Of workers in one step; more are no accident, but memory that is too small or a shard that kills."""

Work = Callable[[Any, Path], dict[str, Any]]
"""work(shard, folder): write files into that folder and return counts. It has to be picklable, as has the shard."""


class WorkerDied(EndedEarly):
    """Workers were killed again and again."""


class OthersAtWork(EndedEarly):
    """This task of an array is done, others are not: whoever ends last makes the output."""

    status = 0

    def __init__(self, missing: int, shards: int):
        left = f"{missing} of {shards} shards are left to other tasks" if missing else "another task makes the output"
        super().__init__(f"done here; {left}")


class Team:
    """Who does the work: `workers` at a time, and of a Slurm array this task."""

    def __init__(self, workers: int = 1, *, executor: Executor | None = None, task: int = 0, tasks: int = 1):
        self.workers, self.task, self.tasks = workers, task, tasks
        self._executor = executor
        self._claims = ExitStack()

    @property
    def part(self) -> int | None:
        """Number of this task, if other tasks of an array work on the same output."""
        return self.task if self.tasks > 1 else None

    @property
    def alone(self) -> bool:
        """Whether this process does the work of this task itself."""
        return self._executor is None

    def share(self, count: int) -> list[int]:
        """Numbers below `count` that are this task's to do."""
        return list(range(self.task, count, self.tasks))

    def each(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """function(*arguments) for each entry, in the order in which they end.

        Raises:
            WorkerDied: more workers were killed than by accident.
        """
        if self._executor is None:
            yield from (function(*given) for given in arguments)
            return
        waiting, running, deaths = list(reversed(arguments)), dict[Future, tuple[Any, ...]](), 0
        while waiting or running:
            broken = False
            try:
                while waiting and len(running) < QUEUED * self.workers:
                    running[self._executor.submit(function, *waiting[-1])] = waiting[-1]
                    waiting.pop()
            except BrokenExecutor:
                broken = True
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                given = running.pop(future)
                if isinstance(future.exception(), BrokenExecutor):
                    broken = True
                    waiting.append(given)
                else:
                    yield future.result()
            if broken and not running:
                deaths += 1
                if deaths > MOST_DEATHS:
                    raise WorkerDied(
                        f"{deaths} workers were killed (by the system, for want of memory?). What is finished is kept:"
                        " run the same command again, with fewer --workers."
                    )
                self._executor = _pool(self.workers)

    def claim(self, scratch: Path) -> None:
        """Be the task that makes the output, until `close`.

        Raises:
            OthersAtWork: another task is.
        """
        if self.part is not None:
            try:
                self._claims.enter_context(locked(scratch.with_name(scratch.name + ".output")))
            except InputError:
                raise OthersAtWork(0, 0) from None

    def close(self) -> None:
        """End the workers of a pool, and let others put outputs together."""
        self._claims.close()
        if isinstance(self._executor, ProcessPoolExecutor):
            self._executor.shutdown(cancel_futures=True)


HERE = Team()
"""This process alone."""


@contextmanager
def team(workers: int = 1) -> Iterator[Team]:
    """Whoever there is to work: the ranks under mpiexec or srun, else a pool, else this process.

    Under MPI the first rank goes on with the block and gives out the shards; the others do them, and end when it does.
    Call it before threads are started or a tokenizer is loaded: the pool's processes are forked from this one.

    Args:
        workers: processes of the pool; under MPI the number of ranks counts instead.

    Raises:
        InputError: srun started several processes that can't see each other.
        SystemExit: in all ranks but the first, when the work is done.
    """
    if _world_size() > 1:
        with _ranks() as executor:
            yield Team(_world_size() - 1, executor=executor)
        return
    task, tasks = _array()
    crew = Team(workers, executor=_pool(workers) if workers > 1 else None, task=task, tasks=tasks)
    try:
        yield crew
    finally:
        crew.close()


def run_shards(
    work: Work,
    shards: Sequence[Any],
    scratch: Path,
    crew: Team = HERE,
    progress: Callable[[int, int], None] | None = None,
    *,
    last: bool = True,
) -> list[dict[str, Any]]:
    """Do the shards that are not done yet; returns all counts, in the order of the shards.

    Files of shard n are in `folder_of(scratch, n)` afterwards.

    Args:
        work: what to do with one.
        shards: all of them, in the order that the output has.
        scratch: the folder that `run_step` gives.
        crew: who works.
        progress: called with (shards done, shards in all).
        last: the output is made next. Of the tasks of an array one goes on to that; to further shards, all.
    """
    _forget_other_shards(scratch / SHARDS, shards)
    mine = crew.share(len(shards))
    left = [number for number in mine if not (folder_of(scratch, number) / RECORD).exists()]
    done = len(mine) - len(left)
    if progress:
        progress(done, len(mine))
    for _ in crew.each(_finish, [(work, shards[number], folder_of(scratch, number)) for number in left]):
        done += 1
        if progress:
            progress(done, len(mine))
    records = [folder / RECORD for folder in folders_of(scratch, shards)]
    if missing := sum(not record.exists() for record in records):
        raise OthersAtWork(missing, len(shards))
    if last:
        crew.claim(scratch)
    return [json.loads(record.read_text()) for record in records]


def folder_of(scratch: Path, number: int) -> Path:
    """Where a shard's files are."""
    return scratch / SHARDS / f"{number:06d}"


def folders_of(scratch: Path, shards: Sequence[Any]) -> list[Path]:
    """Where the files of all shards are."""
    return [folder_of(scratch, number) for number in range(len(shards))]


def ranges(count: int, size: int) -> list[tuple[int, int]]:
    """Shards of `count` things that are numbered: first and one past the last of each `size`."""
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def _forget_other_shards(folder: Path, shards: Sequence[Any]) -> None:
    """Remove what is finished if the work was parted otherwise then, by another version of this program, say."""
    parted, path = text_hash(repr(list(shards))), folder / PARTED
    with locked(path, wait=OTHERS_MAY_NEED):  # tasks of an array start at once
        if not path.exists() or path.read_text() != parted:
            for entry in folder.glob("[!.]*"):  # all but the lock
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            write_whole(path, parted)


def _finish(work: Work, shard: Any, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.iterdir():
        left.unlink()  # of a worker that was killed
    counts = work(shard, folder)
    for path in folder.iterdir():
        flush(path)  # a record must not reach the disk before what it stands for
    write_whole(folder / RECORD, json.dumps(counts))


def _pool(workers: int) -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("fork"), initializer=_start_worker, initargs=(os.getpid(),)
    )
    pool.submit(os.getpid).result()  # forks all of them now, while this process has no threads of its own
    return pool


def _start_worker(parent: int) -> None:
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is answered once, by the process that was started


def _world_size() -> int:
    """Processes that mpiexec or srun started together with this one."""
    names = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS")
    return max(int(os.environ.get(name, "1")) for name in names)


@contextmanager
def _ranks() -> Iterator[Executor]:
    try:
        from mpi4py import MPI
        from mpi4py.futures import MPICommExecutor
    except ImportError as error:
        raise InputError(
            where="several processes started by mpiexec or srun", found=f"no mpi4py to join them ({error})",
            expected="mpi4py and an MPI library", fix="pip install 'megatron_ext[mpi]'",
        ) from None  # fmt: skip
    if (found := MPI.COMM_WORLD.Get_size()) != _world_size():
        raise InputError(
            where="MPI", found=f"a world of {found} processes", expected=f"{_world_size()}, as were started",
            fix="Each would do all of the work. Start them with the MPI library's own mpiexec, or name its kind:"
            " srun --mpi=pmix or --mpi=pmi2.",
        )  # fmt: skip
    with MPICommExecutor(MPI.COMM_WORLD, root=0) as executor:
        if executor is not None:
            yield executor
    if executor is None:
        raise SystemExit(0)


def _array() -> tuple[int, int]:
    """This task's place among those of a Slurm array, and their number."""
    if "SLURM_ARRAY_TASK_COUNT" not in os.environ:
        return 0, 1
    number, first = int(os.environ["SLURM_ARRAY_TASK_ID"]), int(os.environ["SLURM_ARRAY_TASK_MIN"])
    tasks = int(os.environ["SLURM_ARRAY_TASK_COUNT"])
    if (last := int(os.environ["SLURM_ARRAY_TASK_MAX"])) - first + 1 != tasks:
        raise InputError(
            where="Slurm array", found=f"{tasks} tasks numbered from {first} to {last}",
            expected="numbers without gaps",
            fix="Submit it as --array=0-7: a task does the shards whose number leaves its own as remainder.",
        )  # fmt: skip
    return number - first, tasks
