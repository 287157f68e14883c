"""The engine of a recipe that asks nothing."""

from dataclasses import dataclass

from data_tools.errors import InputError
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.engines.engine import Engine


@dataclass(frozen=True, kw_only=True)
class NoModel(EngineChoice):
    """No model is named, loaded or looked for."""

    model: str = ""

    def open(self) -> Engine:
        """Called once something is asked.

        Raises:
            InputError: always.
        """
        raise InputError(
            where="recipe", found="a request", expected="none, since no model was named", fix="Name one with --model."
        )

    def generator(self) -> tuple[str, str]:
        return "none", ""
