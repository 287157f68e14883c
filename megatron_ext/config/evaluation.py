"""The `evaluation:` section of a run: task files that its model is asked as it trains, and how often."""

from typing import Annotated, Self

from pydantic import Field, PositiveInt, model_validator
from pydantic.dataclasses import dataclass

from megatron_ext.config.fields import STRICT, AnyPath, UnfitError


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EvaluationConfig:
    """What is asked of the live model, with the weights before the update of a step."""

    tasks: Annotated[tuple[AnyPath, ...], Field(min_length=1)]
    """Task files, JSON lines, in the layout that docs/evaluation.md gives; each is named after its file."""
    every: PositiveInt
    """Steps between evaluations; whatever it is, also after the last step."""
    most_items: PositiveInt | None = None
    """Of each task, its first so many items. None: all."""

    @model_validator(mode="after")
    def _name_each_task_once(self) -> Self:
        names = [path.stem for path in self.tasks]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UnfitError(
                found=f"two tasks named {twice}", expected="files of different names, which name their curves",
                fix="Rename one of the files.",
            )  # fmt: skip
        return self
