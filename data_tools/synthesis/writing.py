"""One seed document on its way through a recipe: what has to be asked next, and in the end the drafts."""

from collections.abc import Callable
from dataclasses import replace

from data_tools.synthesis.recipe import Draft, Recipe, Seed
from data_tools.synthesis.requests import Answer, Request, request_of


class Writing:
    """A recipe at work on a seed. It can be done as often as one likes: the same answers give the same drafts."""

    def __init__(self, recipe: Recipe, seed: Seed, generator: str):
        self.seed, self._recipe, self._generator = seed, recipe, generator
        self._steps = recipe.write(seed)
        self._asked: list[Request] | None = None
        """In the present step; None before the first."""
        self.missing: set[str] = set()
        """Ids of requests that are waited for."""
        self.drafts: list[Draft] | None = None
        """None until it is finished."""
        self.requests = self.refused = self.prompt_tokens = self.generated_tokens = 0

    def advance(self, answer_to: Callable[[str], Answer | None]) -> list[Request]:
        """Go on as far as answers are there; returns the requests that have none yet, and nothing at the end.

        The recipe sees a refused request as one that was answered with nothing: what the engine said is no document.
        """
        while self.drafts is None:
            answers = [(request, answer_to(request.id)) for request in self._asked or ()]
            if missing := [request for request, answer in answers if answer is None]:
                return missing
            given = [answer for _, answer in answers if answer is not None]
            self._count(given)
            given = [replace(answer, text="") if answer.finish == "refused" else answer for answer in given]
            try:
                asks = self._steps.send(None if self._asked is None else given)  # type: ignore[arg-type]
            except StopIteration as end:
                self.drafts = end.value
                break
            recipe, seed = self._recipe, self.seed
            self._asked = [
                request_of(
                    ask, recipe=recipe.name, version=recipe.version, document=seed.hash, draw=seed.draw,
                    generator=self._generator,
                )
                for ask in asks
            ]  # fmt: skip
        return []

    def _count(self, answers: list[Answer]) -> None:
        self.requests += len(answers)
        self.refused += sum(answer.finish == "refused" for answer in answers)
        self.prompt_tokens += sum(answer.prompt_tokens for answer in answers)
        self.generated_tokens += sum(answer.tokens for answer in answers)
