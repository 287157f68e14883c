"""How a report writes its numbers."""

from collections.abc import Mapping
from typing import Any

DASH = "–"
"""For what is not known."""
LARGE = 1e6
"""Of a perplexity nobody reads the digits from here on."""


def count(value: int | None) -> str:
    """A whole number."""
    return DASH if value is None else f"{value:,}"


def power(value: float | None) -> str:
    """A number that is read by its size."""
    return DASH if value is None else f"{value:.2e}"


def percent(value: float | None) -> str:
    """A share."""
    return DASH if value is None else f"{100 * value:.1f}%"


def figure(value: float, *, digits: int = 2, plus: bool = False) -> str:
    """A number with so many digits behind the point, or only its size if it is large; `plus`: a difference."""
    sign = "+" if plus else ""
    return f"{value:{sign}.2e}" if abs(value) >= LARGE else f"{value:{sign}.{digits}f}"


def interval(found: Mapping[str, Any], *, scale: float = 1, digits: int = 2, plus: bool = False) -> str:
    """The ends of an estimate; empty if they aren't known."""
    if found["low"] is None:
        return ""
    low, high = (figure(scale * found[end], digits=digits, plus=plus) for end in ("low", "high"))
    return f"{low} to {high}"


def times(found: Mapping[str, Any]) -> str:
    """A factor with its ends, in words."""
    ends = interval(found, digits=2)
    return f"{found['value']:.2f} times" + (f" (95%: {ends})" if ends else "")


def share(found: Mapping[str, Any]) -> str:
    """A share with its ends, in words."""
    ends = interval(found, scale=100, digits=0)
    return f"{found['value']:.0%}" + (f" (95%: {ends})" if ends else "")
