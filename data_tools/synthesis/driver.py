"""Asks for all that is missing in a ledger, with the engine kept full.

Seeds of several parts are open at a time, each at its own step of the recipe; whatever any of them has to ask goes to
the engine as soon as it has room. With a budget a part is done once its seeds, in their order, have brought enough: so
the end depends on the answers, never on the order in which they came.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from data_tools.errors import EndedEarly
from data_tools.synthesis.engines.engine import Engine
from data_tools.synthesis.ledger import Ledger, LedgerPart
from data_tools.synthesis.recipe import Recipe, Seed
from data_tools.synthesis.requests import Answer, Request, Unanswered
from data_tools.synthesis.writing import Writing

OPEN_PARTS = 16
"""Parts that are worked on at a time, so that the engine is full while one of them waits for its last answers."""

HOPELESS = 256
"""Seeds of a part of which none brought a document, before a run with a budget is ended: it would go on for ever."""

Worth = Callable[[Writing], int]
"""Tokens that a finished seed brings to the budget."""


class Dealt(Protocol):
    """What a recipe is asked about, dealt to the parts of a ledger."""

    def of_part(self, part: int, parts: int) -> Iterator[Any]:
        """The seeds of one part, in order; or whatever else the recipe can write about, with a `hash` and a `draw`."""


@dataclass(eq=False)
class Part:
    """A part of the ledger that is being filled."""

    number: int
    answers: LedgerPart
    seeds: Iterator[Seed]
    goal: int | None
    """Tokens that it has to bring; None: all its seeds are done."""
    order: deque[Writing] = field(default_factory=deque)
    """Seeds that are begun, from the first on that isn't finished; those before it have been counted."""
    brought: int = 0
    counted: int = 0
    flying: int = 0
    """Requests without an answer."""
    begun_all: bool = False

    @property
    def done(self) -> bool:
        """Whether no further answer is needed."""
        return self._reached or (self.begun_all and not self.order)

    @property
    def wants_more(self) -> bool:
        """Whether to begin another seed; not while those that are begun are likely to be enough."""
        if self.goal is None or self.begun_all:
            return not self.begun_all
        expected = len(self.order) * self.brought / self.counted if self.counted else 0
        return self.brought + expected < self.goal

    def count(self, worth: Worth) -> int:
        """Count the seeds that are finished, in their order; returns how many.

        Raises:
            EndedEarly: nothing that is asked comes to a document.
        """
        before = self.counted
        while self.order and self.order[0].drafts is not None and not self._reached:
            writing = self.order.popleft()
            self.brought += worth(writing) if self.goal is not None else 0
            self.counted += 1
        if self.goal is not None and not self.brought and self.counted >= HOPELESS:
            raise EndedEarly(
                f"{self.counted} seeds were done and the filters kept no document of them. The answers are kept: try"
                " --documents 50 without a budget, and look at samples.html."
            )
        return self.counted - before

    @property
    def _reached(self) -> bool:
        return self.goal is not None and self.brought >= self.goal


class Driver:
    """One process's share of the asking."""

    def __init__(
        self, recipe: Recipe, generator: str, engine: Callable[[], Engine], worth: Worth,
        progress: Callable[[int], None] | None = None,
    ):  # fmt: skip
        """Nothing is loaded yet.

        Args:
            recipe: what is asked.
            generator: hash of the model.
            engine: opens it; called only if something has to be asked.
            worth: tokens that a seed brings to a budget.
            progress: called with the number of seeds that were finished since the last call.
        """
        self._recipe, self._generator, self._open, self._worth = recipe, generator, engine, worth
        self._progress = progress or (lambda count: None)
        self._engine: Engine | None = None
        self._waiting: dict[str, list[tuple[Part, Writing]]] = {}
        self._given_up: Counter[str] = Counter()

    def ask(self, ledger: Ledger, parts: Iterable[int], seeds: Dealt, goal: int | None) -> Iterator[int]:
        """Fill these parts; yields the number of each that is filled, while the engine goes on with the others.

        Args:
            ledger: what is filled.
            parts: numbers of its parts.
            seeds: of all parts.
            goal: tokens that each part has to bring; None: all its seeds.

        Raises:
            EndedEarly: requests were given up by the engine, or the disk is full. What was answered is kept.
        """
        opened: deque[Part] = deque()
        to_come = (
            Part(number, LedgerPart(ledger.file(number), writing=True), seeds.of_part(number, ledger.parts), goal)
            for number in parts
        )
        try:
            while True:
                while self._has_room() and (part := self._next(opened, to_come)):
                    self._begin(part)
                    if part.done:  # all its answers were there
                        yield from self._closed(opened)
                yield from self._closed(opened)
                if self._engine is None or not self._waiting:
                    break
                for request, answer in self._engine.collect():
                    self._take(request, answer)
        finally:
            for part in opened:
                part.answers.close()
            if self._engine is not None:
                self._engine.close()
        if self._given_up:
            reasons = "; ".join(f"{count} x {reason}" for reason, count in self._given_up.most_common(3))
            raise EndedEarly(
                f"{self._given_up.total()} requests were given up ({reasons}). All other answers are kept: run the same"
                " command again to ask for these."
            )

    def _has_room(self) -> bool:
        return self._engine is None or len(self._waiting) < self._engine.capacity

    def _closed(self, opened: deque[Part]) -> Iterator[int]:
        """Close the parts that are done."""
        for part in [part for part in opened if part.done and not part.flying]:
            part.answers.close()
            opened.remove(part)
            yield part.number

    def _next(self, opened: deque[Part], to_come: Iterator[Part]) -> Part | None:
        """A part that wants another seed begun; others are opened in the place of those that are done."""
        working = sum(not part.done for part in opened)
        opened.extend(islice(to_come, max(0, OPEN_PARTS - working)))
        for _ in range(len(opened)):
            opened.rotate(-1)
            if opened[-1].wants_more:
                return opened[-1]
        return None

    def _begin(self, part: Part) -> None:
        seed = next(part.seeds, None)
        if seed is None:
            part.begun_all = True
            return
        writing = Writing(self._recipe, seed, self._generator)
        part.order.append(writing)
        self._go_on(part, writing)

    def _go_on(self, part: Part, writing: Writing) -> None:
        for request in writing.advance(part.answers.get):
            writing.missing.add(request.id)
            holders = self._waiting.setdefault(request.id, [])
            if not holders:
                if self._engine is None:
                    self._engine = self._open()
                self._engine.submit(request)
            if (part, writing) not in holders:
                holders.append((part, writing))
                part.flying += 1
        if writing.drafts is not None:
            self._progress(part.count(self._worth))

    def _take(self, request: Request, answer: Answer | Unanswered) -> None:
        holders = self._waiting.pop(request.id)
        for part, writing in holders:
            part.flying -= 1
            if isinstance(answer, Answer):
                if part.answers.get(request.id) is None:
                    part.answers.append(request, answer)
                writing.missing.discard(request.id)
        if isinstance(answer, Unanswered):
            self._given_up[answer.reason] += 1
            return
        for part, writing in holders:
            if not writing.missing and not part.done:
                self._go_on(part, writing)
