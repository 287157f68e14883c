"""The exceptions that users are meant to see, and the exit statuses that go with it."""

from functools import partial
from typing import Any

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2


class InputError(Exception):
    """What the user gave us cannot be used. The command line prints it without a traceback and exits with 2.

    The four parts have to be named by whoever raises it, so that none is forgotten.
    """

    status = EXIT_BAD_INPUT

    def __init__(self, *, where: str, found: str, expected: str, fix: str, keeps_work: bool = False):
        """`keeps_work`: what a build has finished can still be used, once what `fix` says is done."""
        super().__init__(f"{where}: found {found}, expected {expected}.\n  {fix}")
        self._parts = {"where": where, "found": found, "expected": expected, "fix": fix, "keeps_work": keeps_work}
        self.keeps_work = keeps_work

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(InputError, **self._parts), ()  # a worker's error crosses to whoever gave it the work


class EndedEarly(Exception):
    """The command ends without its output, which is nobody's mistake. Printed without a traceback."""

    status = EXIT_FAILED
