"""What the parts of a config are made of: strict checking, paths, numbers with bounds, lengths of time in training."""

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    Strict,
    ValidationInfo,
    model_validator,
)
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid", strict=True)  # a misspelt key stops the run; it must never be a silent default


class UnfitError(ValueError):
    """A value that does not fit another one; `loading.py` makes an InputError of it."""

    def __init__(self, *, found: str, expected: str, fix: str):
        super().__init__(f"found {found}, expected {expected}. {fix}")
        self.found, self.expected, self.fix = found, expected, fix


def _from_its_file(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return path if base is None else Path(os.path.abspath(base / path.expanduser()))


AnyPath = Annotated[Path, Strict(False), AfterValidator(_from_its_file)]
"""A path; in a file it is relative to that file."""

Share = Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]
Positive = Annotated[FiniteFloat, Field(gt=0.0)]
NotNegative = Annotated[FiniteFloat, Field(ge=0.0)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Duration:
    """A part of a run: a share of it, or steps, or tokens. In a file a bare number is a share."""

    share: Share | None = None
    steps: NonNegativeInt | None = None
    tokens: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _is_one_of_three(self) -> Self:
        given = [name for name in ("share", "steps", "tokens") if getattr(self, name) is not None]
        if len(given) != 1:
            raise UnfitError(
                found=" and ".join(given) or "none of share, steps, tokens",
                expected="one of share, steps, tokens",
                fix="Write a share such as 0.05, or {steps: 2000}, or {tokens: 8000000000}.",
            )
        return self


def _bare_number_is_a_share(value: Any) -> Any:
    return {"share": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


AnyDuration = Annotated[Duration, BeforeValidator(_bare_number_is_a_share)]


def require_whole(name: str, tokens: int, unit: int, what: str) -> None:
    """Refuse tokens that are no multiple of a unit, with the nearest that are.

    Raises:
        UnfitError: they are not.
    """
    if tokens % unit == 0:
        return
    below = tokens // unit * unit
    nearest = f"{below} or {below + unit}" if below else str(unit)
    raise UnfitError(found=f"{name} {tokens}", expected=what, fix=f"The nearest that fit: {nearest}.")


def require_multiple(name: str, value: int, unit_name: str, unit: int) -> None:
    """Refuse a size that another one does not divide, with what would fit.

    Raises:
        UnfitError: it does not.
    """
    if value % unit:
        raise UnfitError(
            found=f"{name} {value}",
            expected=f"a multiple of {unit} ({unit_name})",
            fix=f"Set {name.rpartition('.')[2]} to {value // unit * unit or unit} or {(value // unit + 1) * unit}, "
            f"or change {unit_name.partition(',')[0].removeprefix('twice ')}.",
        )
