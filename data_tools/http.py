"""What clients of model servers share: the key, which answers are worth another attempt, and when it is made."""

import os
import random
import time
from email.utils import parsedate_to_datetime

BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses that pass: of a server that is busy, restarts, or stands behind a proxy that waits for it."""

KEY = "OPENAI_API_KEY"
"""Environment variable with the key that is sent along; no key is sent without it."""

LONGEST_PAUSE = 60.0
"""Seconds between two attempts, unless the server asks for more."""


def key_headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {os.environ[KEY]}"} if os.environ.get(KEY) else {}


def pause(failures: int, *, first: float, retry_after: str = "") -> float:
    """Seconds to wait before the next attempt: twice as long each time, and never the same for two clients.

    Args:
        failures: attempts that failed, at least 1.
        first: seconds after the first of them.
        retry_after: what the server asks for in the header of this name: seconds, or a date.
    """
    longest = min(LONGEST_PAUSE, first * 2 ** min(failures - 1, 30))
    return max(longest * random.uniform(0.5, 1), _seconds(retry_after))


def _seconds(retry_after: str) -> float:
    try:
        return float(retry_after) if retry_after.isdigit() else _until(retry_after)
    except ValueError:
        return 0.0


def _until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time() if date else 0.0
