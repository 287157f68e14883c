"""The interval in which a share lies, told from a sample of yes and no."""

import math

Z95 = 1.959963984540054
"""Of the normal distribution: 95 % lie within."""


def wilson(count: int, of: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of the share count / of; (0, 1) of nothing.

    It never leaves 0 .. 1 and says something even where none, or all, of a small sample were found.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    if not of:
        return 0.0, 1.0
    share = count / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return (0.0 if count == 0 else low), (1.0 if count == of else high)
