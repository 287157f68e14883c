"""How a run ends before its end: it is asked at any moment, and acts on it, all ranks together, between two steps.

A scheduler asks with a signal: while torch is imported, a checkpoint is read, a step is taken, or one is saved. So a
StopRequest is entered first of all, and this file imports next to nothing. A person asks with a file in the run folder:
`SAVE` for a checkpoint now, `STOP` for a checkpoint and the end. The file goes away once the run has done so: SAVE when
it is seen, STOP when the run has saved and ended well.
"""

import signal
import time
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
SAVE, STOP = "SAVE", "STOP"
LOOK_SECONDS = 1.0
"""Between two looks at the folder, which may be on a busy disk."""


class Wish(IntEnum):
    """What a run is asked for; the greater one holds."""

    NOTHING = 0
    SAVE = 1
    STOP = 2


class StopRequest:
    """Whether this process was asked to stop. While it is entered, SIGTERM and SIGUSR1 only set this.

    Schedulers repeat themselves: the first signal is kept, and those after it change nothing.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, object] = {}
        self._folder: Path | None = None
        self._looked = float("-inf")
        self._files: set[str] = set()

    def watch(self, folder: Path) -> None:
        """Heed the files in a run folder too. For one rank, which tells the others."""
        self._folder = folder

    @property
    def asked(self) -> bool:
        """Whether to stop."""
        self._look()
        return self.signal is not None or STOP in self._files

    @property
    def wish(self) -> Wish:
        """What the run is asked for now; the wish for a checkpoint is told once."""
        if self.asked:
            return Wish.STOP
        if SAVE not in self._files:
            return Wish.NOTHING
        self._files.remove(SAVE)
        (self._folder / SAVE).unlink(missing_ok=True)
        return Wish.SAVE

    @property
    def name(self) -> str | None:
        """Of the file or signal, as events show it; None on a rank that stops because another one was asked."""
        if STOP in self._files:
            return STOP
        return None if self.signal is None else signal.Signals(self.signal).name

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: a handler that was not set from Python
        if kind is None and STOP in self._files:
            (self._folder / STOP).unlink(missing_ok=True)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number

    def _look(self) -> None:
        now = time.monotonic()
        if self._folder is not None and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._files = {name for name in (SAVE, STOP) if (self._folder / name).exists()} | self._files
