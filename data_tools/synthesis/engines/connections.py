"""Many connections to one server, on a thread of their own: they go on while others compute.

What comes of an attempt is one of four things: the content of the answer, Trouble that may pass, the Refusal of this
request, or an InputError that no attempt will change.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any

import orjson

from data_tools.errors import InputError
from data_tools.http import BUSY, KEY, key_headers
from data_tools.synthesis.engines.openai_protocol import Refusal

REFUSED = frozenset({400, 413, 422})
"""Statuses of a request that this server won't take, such as a prompt that is too long."""
LATER = frozenset({429, 503})
"""Statuses that say nothing against the request."""
MOST_SAID = 500
"""Characters of a server's words that are passed on."""


class Trouble(Exception):
    """An attempt that failed and may be made again."""

    def __init__(self, reason: str, *, retry_after: str = "", counts: bool = True):
        """`retry_after`: what the server asks for; `counts`: whether the request may be the reason."""
        super().__init__(reason)
        self.retry_after, self.counts = retry_after, counts


class Connections:
    """A client with an event loop of its own."""

    def __init__(self, url: str, *, concurrency: int, timeout: float):
        """`timeout`: seconds for an attempt, from its start to the last byte."""
        import httpx

        self.url = url.rstrip("/")
        self._timeout = timeout
        self._client = httpx.AsyncClient(
            headers=key_headers() | {"Content-Type": "application/json"},
            timeout=None,
            limits=httpx.Limits(max_connections=concurrency),
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="connections", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, Any]) -> "concurrent.futures.Future[Any]":
        """Run it on the thread of the connections."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def fetch(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The content that the server answers with: GET without a body, POST with one.

        Raises:
            Trouble: it gave none, or said that it is busy.
            Refusal: it won't take this body.
            InputError: it wants a key, or doesn't know the path.
        """
        import httpx

        try:
            async with asyncio.timeout(self._timeout):
                content = None if body is None else orjson.dumps(body)
                method = "GET" if body is None else "POST"
                response = await self._client.request(method, self.url + path, content=content)
        except TimeoutError:
            raise Trouble(f"nothing within {self._timeout:g} s") from None
        except httpx.RequestError as error:
            raise Trouble(f"no answer ({type(error).__name__}: {error})") from None
        except httpx.InvalidURL as error:
            raise InputError(
                where="--url", found=f"{self.url} ({error})", expected="the address of a server", fix="Correct it."
            ) from None
        status, said = response.status_code, words(response.text)
        if status == 200:
            return _json(response.content)
        if status in BUSY:
            after = response.headers.get("Retry-After", "")
            raise Trouble(f"status {status}: {said}", retry_after=after, counts=status not in LATER)
        if status in REFUSED:
            raise Refusal(said)
        raise InputError(
            where=self.url + path, found=f"status {status}: {said}", expected="status 200",
            fix=f"Give a key that is accepted in ${KEY}." if status in (401, 403) else "Correct --url and --model.",
            keeps_work=True,
        )  # fmt: skip

    def close(self) -> None:
        """Break off what is under way."""
        if not self._loop.is_closed():
            self.start(self._break_off()).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _break_off(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()


def words(body: str) -> str:
    """What a server says is wrong, without the JSON around it, in one line."""
    message: Any = body
    try:
        error = orjson.loads(body)
        error = error.get("error", error)
        message = error.get("message", body) if isinstance(error, dict) else error
    except (AttributeError, orjson.JSONDecodeError):
        pass
    return " ".join(str(message).split())[:MOST_SAID]


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Trouble("a body that is no JSON") from None
