"""Processes that don't outlive whoever started them."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """From now on this process is killed when the one that started it ends, however that ends (Linux only).

    Without it, processes outlive a launcher that was killed, and go on writing where a second start writes already.

    Args:
        parent: id of the process that started this one, where that may have ended before this call.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)
