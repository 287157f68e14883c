"""Go or no-go: bounds on measures, held against the end of the interval that is worse.

A share of a small sample is known only roughly. A corpus passes where even the worse end of the 95 % interval keeps the
bound: none of 20 documents found wrong leaves up to 16 %, which is no go at 5 %. More documents narrow the interval.
"""

from collections.abc import Collection, Mapping
from typing import Any

from data_tools.errors import InputError

KEYS = ("at_most", "at_least")

Bounds = dict[str, dict[str, float]]
"""Measure -> {"at_most": value} or {"at_least": value}, or both."""


def bounds_of(values: Any, *, where: str, known: Collection[str], absent: Mapping[str, str]) -> Bounds:
    """Thresholds as a file has them: `repetition: 0.05` is the most, `distinct_2: {at_least: 0.4}` the least.

    Args:
        values: what the file holds.
        where: the file.
        known: measures that will be there.
        absent: measures that won't -> what they need.

    Raises:
        InputError: a measure is unknown or won't be there, or a bound is no number.
    """
    if not isinstance(values, Mapping) or not values:
        raise InputError(
            where=where, found="no thresholds", expected="lines such as `repetition: 0.05`",
            fix="Give a measure and the most that it may be on each line.",
        )  # fmt: skip
    bounds: Bounds = {}
    for measure, value in values.items():
        if measure in absent:
            raise InputError(
                where=f"{where}, {measure}", found="a bound on what won't be measured", expected=absent[measure],
                fix="Give that, or take the line out.",
            )  # fmt: skip
        if measure not in known:
            raise InputError(
                where=f"{where}, {measure}", found="no such measure",
                expected="one of " + ", ".join(sorted({*known, *absent})), fix="Correct the name.",
            )  # fmt: skip
        bound = dict(value) if isinstance(value, Mapping) else {"at_most": value}
        if not bound or not all(key in KEYS and _is_number(limit) for key, limit in bound.items()):
            raise InputError(
                where=f"{where}, {measure}", found=repr(value), expected="a number, or {at_least: NUMBER}",
                fix="Write 5 % as 0.05.",
            )  # fmt: skip
        bounds[measure] = {key: float(limit) for key, limit in bound.items()}
    return bounds


def decide(measures: Mapping[str, Mapping[str, Any]], bounds: Bounds) -> dict[str, Any]:
    """The verdict.

    Returns:
        go: whether all bounds are kept;
        reasons: a sentence for each that isn't;
        bounds: measure -> its limits, the value that was compared, and whether it is kept.
    """
    reasons, held = list[str](), dict[str, Any]()
    for measure, limits in bounds.items():
        found = measures[measure]
        broken = [reason for key, limit in limits.items() if (reason := _broken(measure, found, key, limit))]
        held[measure] = {**limits, "keeps": not broken}
        reasons += broken
    return {"go": not reasons, "reasons": reasons, "bounds": held}


def _broken(measure: str, found: Mapping[str, Any], key: str, limit: float) -> str | None:
    """Why a bound is not kept; None if it is."""
    value = found.get("value")
    if value is None:
        return f"{measure}: nothing could be measured, the bound is {limit:g}"
    worse = found.get("high" if key == "at_most" else "low")
    compared = value if worse is None else worse
    if (compared <= limit) if key == "at_most" else (compared >= limit):
        return None
    side = "above" if key == "at_most" else "below"
    if worse is None:
        return f"{measure}: {value:.3g} is {side} {limit:g}"
    return (
        f"{measure}: {value:.1%} of {found['of']:,}, which leaves {found['low']:.1%} to {found['high']:.1%}:"
        f" {compared:.1%} is {side} {limit:.1%}"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
