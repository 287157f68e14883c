"""Where on its machine a worker stands: which GPU is its own, and how many threads.

Workers of a pool and ranks of MPI that share a machine share its cores and GPUs; neither library tells them apart
without being asked.
"""

import os
from multiprocessing import current_process

LOCAL_RANK = ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID")
LOCAL_RANKS = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE")
THREADS = ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK")


def place_on_machine() -> int:
    """This worker's number among those of its machine: of its pool, else of the ranks there."""
    number = current_process().name.rpartition("-")[2]
    return int(number) - 1 if number.isdigit() else _first_of(LOCAL_RANK, 0)


def threads_of_worker(workers: int) -> int:
    """Threads that a worker may keep busy: as the environment says, else its share of the machine's cores.

    Args:
        workers: in the pool; under MPI the ranks of this machine are counted instead.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cores // max(1, _first_of(LOCAL_RANKS, workers))
    return max(1, _first_of(THREADS, share))


def _first_of(names: tuple[str, ...], otherwise: int) -> int:
    found = (os.environ.get(name, "") for name in names)
    return next((int(value) for value in found if value.isdigit()), otherwise)
