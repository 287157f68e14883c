"""What a sweep is: a run file, the settings that vary in it, and where to begin."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, PositiveInt, model_validator
from pydantic.dataclasses import dataclass

from megatron_ext.config.fields import STRICT, AnyPath, UnfitError

Value = int | float | str | bool


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SweepConfig:
    """A grid over settings of one run."""

    run: AnyPath
    """Run file that every point changes."""
    heldout: AnyPath
    """Corpus that points are compared on."""
    grid: Annotated[dict[str, Annotated[list[Value], Field(min_length=1)]], Field(min_length=1)]
    """Setting, as `schedule.peak_lr` -> its values, in their order: one step is from a value to the next."""
    start: dict[str, Value] = Field(default_factory=dict)
    """Where the walk begins; settings that are left out begin in the middle."""
    processes: PositiveInt = 1
    """Ranks of each run on this machine."""

    @model_validator(mode="after")
    def _start_is_on_the_grid(self) -> Self:
        for name, value in self.start.items():
            if value not in self.grid.get(name, []):
                raise UnfitError(
                    found=f"start of {name} {value}",
                    expected=f"one of {self.grid.get(name, 'the settings of the grid')}",
                    fix="Begin at a point of the grid.",
                )  # fmt: skip
        for name, values in self.grid.items():
            if len(set(map(repr, values))) != len(values):
                raise UnfitError(found=f"{name} {values}", expected="different values", fix="Leave repeated ones out.")
        return self


def changed(settings: dict[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """The settings of a run with some of them replaced.

    Raises:
        KeyError: there is no such setting.
    """
    result = dict(settings)
    for name, value in values.items():
        first, _, rest = name.partition(".")
        if first not in settings:
            raise KeyError(name)
        if rest:
            inner = result[first]
            if not isinstance(inner, dict):
                raise KeyError(name)
            result[first] = changed(inner, {rest: value})
        else:
            result[first] = value
    return result
