"""The one exception that users are meant to see, and the exit statuses that go with it."""

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2


class InputError(Exception):
    """What the user gave us cannot be used. The command line prints it without a traceback and exits with 2.

    The four parts have to be named by whoever raises it, so that none is forgotten.
    """

    status = EXIT_BAD_INPUT

    def __init__(self, *, where: str, found: str, expected: str, fix: str):
        super().__init__(f"{where}: found {found}, expected {expected}.\n  {fix}")
