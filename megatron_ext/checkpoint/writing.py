"""One rank's files of a checkpoint, written beside the training by a process that is a snapshot of the rank.

The process is forked: it sees the memory as it was at that moment, whatever training does to it afterwards, and the
system copies only pages that training touches while it writes. What a fork does not isolate is copied before: tensors
on a GPU, and tensors in memory that processes share. The process dies with its rank, so it can't disturb the run that
is started in the place of a killed one.
"""

import os
import pickle
import queue
import select
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from megatron.core.dist_checkpointing.strategies.filesystem_async import FileSystemWriterAsync
from torch import Tensor
from torch.distributed.checkpoint.storage import WriteResult

from data_tools.errors import EXIT_FAILED, InputError
from data_tools.processes import die_with_parent
from megatron_ext import platform
from megatron_ext.checkpoint.integrity import FileRecord, record
from megatron_ext.checkpoint.planning import Writes

COMMON = "common.pt"
NICE = 10
"""Training has the cores first; the writer takes what is left."""


class SaveFailedError(InputError):
    """A checkpoint could not be written. Nothing of it is left, and the earlier ones are intact."""

    status = EXIT_FAILED  # the run was in order, the disk was not


@dataclass(frozen=True)
class Written:
    """What one rank has brought to the disk."""

    results: list[WriteResult]
    """Where in the files each tensor stands."""
    files: dict[str, FileRecord]


def staged(writes: Writes) -> Writes:
    """The same writes, of memory that a forked process has for itself."""
    items = [(item, _staged(data)) for item, data in writes.items]
    if platform.has_gpu():
        torch.cuda.synchronize()
    return Writes(items, writes.common, writes.bytes)


def write(writes: Writes, folder: Path, *, rank: int) -> Written:
    """Write, flush and hash this rank's files, in this process.

    Raises:
        OSError: the disk is full, or gone.
    """
    name = f"__{rank}_0.distcp"
    bytes_data = [(item, data) for item, data in writes.items if not isinstance(data, Tensor)]
    tensor_data = [(item, _alone(data)) for item, data in writes.items if isinstance(data, Tensor)]
    results, waiting = queue.Queue(), queue.Queue()
    waiting.put(None)  # Megatron-core's writer takes it off when it is done
    writer = FileSystemWriterAsync(folder)
    FileSystemWriterAsync.write_preloaded_data(
        [writer.transforms], 0, (str(folder / name), name, (bytes_data, tensor_data)), results, waiting, use_fsync=True
    )
    _, outcome = results.get()
    if isinstance(outcome, Exception):
        raise _cause(outcome)
    names = [name]
    if rank == 0:
        torch.save(writes.common, folder / COMMON)
        names.append(COMMON)
    return Written(outcome, {name: record(folder / name) for name in names})


class Background:
    """A function that runs in a forked process, and its result."""

    def __init__(self, function: Callable[[], Any]):
        self._held = function  # memory that the fork shares, such as pinned memory, must not be used for other things
        reader, writer = os.pipe()
        parent = os.getpid()
        with warnings.catch_warnings(action="ignore"):  # of forks beside threads: the child uses nothing of theirs
            self._process = os.fork()
        if self._process == 0:
            _be_writer(function, writer, parent)
        os.close(writer)
        self._pipe: BinaryIO = os.fdopen(reader, "rb")

    @property
    def running(self) -> bool:
        return not select.select([self._pipe], [], [], 0)[0]

    def result(self) -> Any:
        """What the function returned, or the exception that it raised; waits for it."""
        with self._pipe as pipe:
            try:
                result = pickle.load(pipe)
            except (EOFError, pickle.UnpicklingError):
                result = None
        _, status = os.waitpid(self._process, 0)
        if status:
            return ChildProcessError(f"the writing process ended with status {os.waitstatus_to_exitcode(status)}")
        return result


class Foreground:
    """The same, done at once by this process."""

    running = False

    def __init__(self, function: Callable[[], Any]):
        self._result = _outcome(function)

    def result(self) -> Any:
        return self._result


def _outcome(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:
        return error


def _be_writer(function: Callable[[], Any], pipe: int, parent: int) -> None:
    """The life of the forked process: it never returns into the code of its rank, nor runs that one's exit handlers."""
    status = 1
    try:
        die_with_parent(parent)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)  # a rank that is asked to stop still wants its checkpoint
        os.nice(NICE)
        torch.set_num_threads(1)  # the threads of the pool exist in the rank only
        with os.fdopen(pipe, "wb") as stream:
            pickle.dump(_outcome(function), stream)
        status = 0
    finally:
        os._exit(status)


def _cause(error: BaseException) -> BaseException:
    """What the system said: torch's own error is about the position in the file that it did not reach."""
    found = error
    while not isinstance(found, OSError) and found.__context__ is not None:
        found = found.__context__
    return found if isinstance(found, OSError) else error


def _staged(data: Any) -> Any:
    if not isinstance(data, Tensor):
        return data
    if data.is_cuda:
        return data.to("cpu", non_blocking=True)
    return data.clone() if data.is_shared() else data


def _alone(tensor: Tensor) -> Tensor:
    """The same bytes as a tensor of their own: a view would be written with all of the memory that it looks into."""
    flat = tensor.detach().contiguous().view(-1)
    return torch.from_numpy(flat.view(torch.uint8).numpy()).view(tensor.dtype).view(tensor.shape)
