"""How a report writes its numbers."""

from collections.abc import Mapping
from typing import Any

DASH = "–"
"""For what is not known."""


def count(value: int | None) -> str:
    """A whole number."""
    return DASH if value is None else f"{value:,}"


def power(value: float | None) -> str:
    """A number that is read by its size."""
    return DASH if value is None else f"{value:.2e}"


def percent(value: float | None) -> str:
    """A share."""
    return DASH if value is None else f"{100 * value:.1f}%"


def signed(value: float, digits: int) -> str:
    """A difference."""
    return f"{value:+.{digits}f}"


def interval(found: Mapping[str, Any], *, scale: float = 1, digits: int, plus: bool = False) -> str:
    """The ends of an estimate; empty if they aren't known."""
    if found["low"] is None:
        return ""
    sign = "+" if plus else ""
    return f"{scale * found['low']:{sign}.{digits}f} to {scale * found['high']:{sign}.{digits}f}"


def times(found: Mapping[str, Any]) -> str:
    """A factor with its ends, in words."""
    ends = interval(found, digits=2)
    return f"{found['value']:.2f} times" + (f" (95%: {ends})" if ends else "")


def share(found: Mapping[str, Any]) -> str:
    """A share with its ends, in words."""
    ends = interval(found, scale=100, digits=0)
    return f"{found['value']:.0%}" + (f" (95%: {ends})" if ends else "")
