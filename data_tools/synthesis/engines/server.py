"""Any server that speaks OpenAI's protocol (vLLM, SGLang, ...), asked many things at a time, however it behaves.

A server that is busy, restarts, breaks off or says nothing is asked again, later and later. Nothing is lost by that and
nothing answered twice: each request has one outcome. A request that fails while others are answered is given up after
some attempts; where nobody is answered any more, all wait for `patience` seconds, and then the engine fails.
"""

import asyncio
import queue
import time
from concurrent.futures import Future
from typing import Any

from data_tools.errors import InputError
from data_tools.http import pause
from data_tools.synthesis.engines import openai_protocol as protocol
from data_tools.synthesis.engines.choosing import weighed
from data_tools.synthesis.engines.connections import Connections, Trouble
from data_tools.synthesis.engines.engine import EngineFailed
from data_tools.synthesis.engines.openai_protocol import Refusal
from data_tools.synthesis.requests import Answer, Request, Sampling, Unanswered

FIRST = 8
"""Answers; where all of them are refusals in the same words, something else is wrong than the prompts."""
AT_THE_START = 30.0
"""Seconds that a server may take until it lists its models."""
PROBE = Request("0" * 32, "a", Sampling(max_tokens=1))
"""Tells a server that answers nothing from one that only fails at what it was asked."""

Outcome = tuple[Request, Answer | Unanswered]


class ServerEngine:
    """One model of a server."""

    def __init__(
        self, url: str, model: str, *, concurrency: int, timeout: float, patience: float, first_pause: float = 1.0,
        attempts: int = 6,
    ):  # fmt: skip
        """Find the model.

        Args:
            url: of the server; what stands before `/models`.
            model: name under which it is served.
            concurrency: requests at a time.
            timeout: seconds for an answer.
            patience: seconds without any answer, after which the server is given up; at least `timeout`.
            first_pause: seconds before the second attempt, about doubled with each.
            attempts: of a request that fails while others are answered.

        Raises:
            InputError: the server can't be reached or doesn't have the model.
        """
        self._patience, self._first_pause, self._attempts = max(patience, timeout), first_pause, attempts
        # As many again wait here, so that a place that gets free is taken at once.
        self.capacity = max(2 * concurrency, FIRST)
        self._places = asyncio.Semaphore(concurrency)
        self._open: dict[str, tuple[Request, Future[None]]] = {}
        self._outcomes: queue.SimpleQueue[Outcome | Exception] = queue.SimpleQueue()
        self._held: list[Outcome] = []
        self._works = False
        """Whether it has answered something, so that a refusal is about the request."""
        self._answered, self._heard, self._trouble = 0, time.monotonic(), "none was made"
        self._server = Connections(url, concurrency=concurrency + 1, timeout=timeout)  # one for the probe
        try:
            self._model = self._find(model)
        except BaseException:
            self._server.close()
            raise

    def submit(self, request: Request) -> None:
        """See Engine."""
        if not self._open:
            self._heard = time.monotonic()
        self._open[request.id] = request, self._server.start(self._settle(request))

    def collect(self) -> list[Outcome]:
        """See Engine.

        Raises:
            EngineFailed: the server answers nothing any more, or with another model.
            InputError: it wants a key, or refuses all requests for the same reason.
        """
        while True:
            outcomes = self._judged(self._wait())
            for request, _ in outcomes:
                del self._open[request.id]
            if outcomes:
                return outcomes

    def close(self) -> None:
        """Break off what is under way."""
        self._server.close()

    def _find(self, name: str) -> protocol.Served:
        """The model in the server's list, which a server that is just starting may take a while to give."""
        until, failures, models = time.monotonic() + min(AT_THE_START, self._patience), 0, None
        while models is None:
            try:
                models = protocol.served(self._server.start(self._server.fetch("/models")).result())
            except (Trouble, Refusal, protocol.NoAnswer) as trouble:
                failures += 1
                wait = pause(failures, first=min(self._first_pause, 1))
                if time.monotonic() + wait > until:
                    raise InputError(
                        where=f"{self._server.url}/models", found=str(trouble), expected="a list of models",
                        fix="Correct --url (its address ends in /v1 with most servers), and see that it is up.",
                        keeps_work=True,
                    ) from None  # fmt: skip
                time.sleep(wait)
        if name not in models:
            raise InputError(
                where=f"{self._server.url}/models", found=", ".join(sorted(models)) or "no model", expected=name,
                fix="Name a model that is there with --model, or serve this one.", keeps_work=True,
            )  # fmt: skip
        return models[name]

    def _wait(self) -> list[Outcome]:
        """Outcomes that are there, at least one."""
        while True:
            left = self._heard + self._patience - time.monotonic()
            try:
                found = [self._outcomes.get(timeout=max(left, 0.0))]
                while not self._outcomes.empty():
                    found.append(self._outcomes.get())
            except queue.Empty:
                found = self._given_up() if left <= 0 else []
            for failure in found:
                if isinstance(failure, Exception):
                    raise failure
            outcomes = [outcome for outcome in found if outcome[0].id in self._open]  # others were given up before
            if outcomes:
                return outcomes

    def _given_up(self) -> list[Outcome]:
        """What becomes of requests that are not answered: their own fault if the server answers something else.

        Raises:
            EngineFailed: it doesn't.
        """
        silence = f"no answer for {self._patience:g} s; the last attempt: {self._trouble}"
        try:
            self._server.start(self._ask(PROBE)).result()
        except Refusal:
            pass
        except (Trouble, InputError):
            raise EngineFailed(f"{self._server.url}: {silence}") from None
        held = {request.id for request, _ in self._held}
        given_up = [entry for name, entry in self._open.items() if name not in held]
        for _, task in given_up:
            task.cancel()
        return [(request, Unanswered(silence)) for request, _ in given_up]

    def _judged(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Outcomes that may be given out; refusals wait until something else shows that the server works."""
        if self._works:
            return outcomes
        self._held += outcomes
        refusals = [got.text for _, got in self._held if isinstance(got, Answer) and got.finish == "refused"]
        alike = len(refusals) == len(self._held) and len(set(refusals)) == 1
        if alike and len(refusals) >= FIRST:
            raise InputError(
                where=self._server.url, found=f"all of the first {FIRST} requests refused: {refusals[0]}",
                expected="a server that takes them", fix="Correct what it says, at the server or in the settings.",
                keeps_work=True,
            )  # fmt: skip
        if alike and len(self._held) < len(self._open):
            return []
        self._works = not alike
        held, self._held = self._held, []
        return held

    async def _settle(self, request: Request) -> None:
        """Ask until there is an outcome."""
        try:
            self._outcomes.put((request, await self._outcome(request)))
        except Exception as failure:  # whatever it is: else it would vanish with the task, and the request with it
            self._outcomes.put(failure)

    async def _outcome(self, request: Request) -> Answer | Unanswered:
        failures, alone, answered = 0, 0, self._answered
        while True:
            try:
                async with self._places:
                    answer = await self._ask(request)
            except Refusal as refusal:
                answer = Answer(str(refusal), "refused")
            except Trouble as trouble:
                self._trouble = str(trouble)
                failures += 1
                alone += trouble.counts and self._answered > answered
                if alone == self._attempts:
                    return Unanswered(f"{trouble}, in {failures} attempts")
                answered = self._answered
                await asyncio.sleep(pause(failures, first=self._first_pause, retry_after=trouble.retry_after))
                continue
            self._answered, self._heard = self._answered + 1, time.monotonic()
            return answer

    async def _ask(self, request: Request) -> Answer:
        """One attempt."""
        if request.choices:
            return await self._weigh(request)
        return self._read(await self._server.fetch(*protocol.asked(request, self._model)))

    async def _weigh(self, request: Request) -> Answer:
        """One attempt at all choices, one after the other: what is read of the first prompt, most servers keep.

        Raises:
            InputError: the server doesn't tell how likely a text is.
        """
        prompts, tokens = [], 0
        for choice in request.choices:
            content: Any = await self._server.fetch(*protocol.weighing(request, choice, self._model))
            tokens += self._read(content).prompt_tokens
            try:
                prompts.append(protocol.prompt_logprobs(content))
            except protocol.NoAnswer as reason:
                raise InputError(
                    where=self._server.url, found=str(reason), expected="them, as vLLM gives them by prompt_logprobs",
                    fix="Let the model answer in words, or run it in this process.", keeps_work=True,
                ) from None  # fmt: skip
        return weighed(protocol.after_what_is_shared(prompts), tokens)

    def _read(self, content: Any) -> Answer:
        try:
            return protocol.answered(content, self._model)
        except protocol.NoAnswer as reason:
            raise Trouble(str(reason)) from None
        except protocol.AnotherModel as other:
            raise EngineFailed(
                f"{self._server.url} was asked for the model {self._model.name} and {other} answered; "
                "its answers are not taken"
            ) from None
