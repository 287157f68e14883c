"""What the driver needs of an engine: it takes requests one by one and answers them in any order.

A request that gives choices is answered by how likely each is: see choosing.
"""

from typing import Protocol

from data_tools.errors import EndedEarly
from data_tools.synthesis.requests import Answer, Request, Unanswered


class EngineFailed(EndedEarly):
    """An engine that can't go on: a server that is gone or serves another model. What it answered is kept."""


class Engine(Protocol):
    """A model that is loaded, or a server that has one."""

    capacity: int
    """Requests that it should have at a time, so that it is never idle."""

    def submit(self, request: Request) -> None:
        """Take a request; returns at once."""

    def collect(self) -> list[tuple[Request, Answer | Unanswered]]:
        """Answers that are there, at least one; waits for it. Called only while a request has no answer yet.

        Raises:
            EngineFailed: none will come.
        """

    def close(self) -> None:
        """Give back what it holds; requests without an answer are dropped."""


def no_room(prompt: int, context: int) -> str:
    """Why a prompt of so many tokens is refused."""
    return f"the prompt has {prompt} tokens, which leave no room in a context of {context}"
