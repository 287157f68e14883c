"""How a run ends before its end: a signal is noted at once and acted on, by all ranks together, between two steps.

A scheduler may ask at any moment: while torch is imported, a checkpoint is read, a step is taken, or one is saved. So
a StopRequest is entered first of all, and this file imports next to nothing.
"""

import signal
from types import FrameType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Whether this process was asked to stop. While it is entered, SIGTERM and SIGUSR1 only set this.

    Schedulers repeat themselves: the first signal is kept, and those after it change nothing.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    @property
    def asked(self) -> bool:
        return self.signal is not None

    @property
    def name(self) -> str | None:
        """Of the signal, as events show it; None on a rank that stops because another one was asked."""
        return None if self.signal is None else signal.Signals(self.signal).name

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: a handler that was not set from Python

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
