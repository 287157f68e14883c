"""A hang leaves the stacks of all threads and ends the process, so that a scheduler can start the run again.

Each rank keeps `<run>/stacks/rank_00003.txt`. A line there says what the rank is doing and since when; it is written
over at each sign of life, so that it is the line above the stacks if there is no further one. The stacks are written
by a thread of faulthandler in C: they come even while a call that never returns holds the interpreter. Every rank
watches itself, so a collective that one rank never reaches leaves the stacks of all.

SIGUSR2 writes the stacks at once, and the run goes on. No torch.
"""

import faulthandler
import os
import signal
import time
from pathlib import Path
from typing import Self

FOLDER = "stacks"
WIDTH = 80
"""Bytes of the line, its end included: always the same, so that it can be written over."""


class Watchdog:
    """Ends this process with status 1 if `limit` seconds pass without a sign of life while it is entered."""

    def __init__(self, run: Path, *, rank: int, limit: float):
        self.path = run / FOLDER / f"rank_{rank:05d}.txt"
        self.limit = limit

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered and open all the time: faulthandler writes to the descriptor, in the moment of need.
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT)
        self._line = os.lseek(self._file, 0, os.SEEK_END)
        faulthandler.register(signal.SIGUSR2, file=self._file, all_threads=True, chain=False)
        self.alive("start")
        return self

    def alive(self, what: str) -> None:
        """A sign of life: `what` begins now, and has `limit` seconds.

        Args:
            what: shown above the stacks, such as "step 12".
        """
        if self._stacks_below_the_line():
            self._line = os.lseek(self._file, 0, os.SEEK_END)
        text = f"since {time.strftime('%Y-%m-%d %H:%M:%S %z')}: {what}".encode()[: WIDTH - 1]
        os.pwrite(self._file, text.ljust(WIDTH - 1) + b"\n", self._line)
        os.lseek(self._file, self._line + WIDTH, os.SEEK_SET)
        faulthandler.dump_traceback_later(self.limit, exit=True, file=self._file)

    def __exit__(self, *_error: object) -> None:
        faulthandler.cancel_dump_traceback_later()
        faulthandler.unregister(signal.SIGUSR2)
        if not self._stacks_below_the_line():
            os.ftruncate(self._file, self._line)
        empty = os.fstat(self._file).st_size == 0
        os.close(self._file)
        if empty:
            self.path.unlink()

    def _stacks_below_the_line(self) -> bool:
        return os.fstat(self._file).st_size > self._line + WIDTH
