"""Vectors from a server that speaks OpenAI's embeddings protocol: vLLM, TEI, llama.cpp, Ollama, or a vendor's.

A server that is busy, restarts or drops connections is asked again, later and later; what it refuses is not. Texts
longer than the model's limit are the server's to cut or to refuse: `--max-tokens` cuts, and counts, before.
"""

import base64
import time
from typing import Any

import numpy as np

from data_tools.errors import EndedEarly, InputError
from data_tools.http import BUSY, key_headers, pause
from data_tools.steps.vectors import unit

AT_THE_START = 3
"""Attempts, before it is said that the address may be wrong."""


class ServerFailed(EndedEarly):
    """The server no longer answers. What is finished is kept."""


class EmbeddingServer:
    """A client that several threads may use.

    Raises:
        InputError: at the start, if the server can't be reached or doesn't have the model.
    """

    most_texts = 32
    most_tokens = 1 << 60
    limit = None

    def __init__(
        self, address: str, model: str, *, concurrency: int, attempts: int, pause: float = 0.5, timeout: float = 120
    ):
        """`pause`: seconds before the second attempt, about doubled with each; `timeout`: seconds for an answer."""
        import httpx

        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        self._client = httpx.Client(headers=key_headers(), timeout=timeout, limits=limits)
        self._address = address.rstrip("/") + "/embeddings"
        self._attempts, self._pause = attempts, pause
        self.name, self.at_once = model, concurrency
        try:
            self.dimensions = len(self._ask(["size"], attempts=AT_THE_START)[0])
        except ServerFailed as error:
            raise InputError(
                where=self._address, found=str(error), expected=f"vectors of the model {model}",
                fix="Correct --server (its address ends in /v1 with most) and --model, and see that it is up.",
            ) from None  # fmt: skip

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of unit length; which texts the server cut is not known, so none counts as cut."""
        given = [text or " " for text in texts]  # many servers refuse an empty one
        rows = self._ask(given, self._attempts)
        if [len(row) for row in rows] != [self.dimensions] * len(texts):
            raise ServerFailed(f"{self._address} gave {len(rows)} vectors for {len(texts)} texts, or of another size")
        return unit(np.array(rows)), np.zeros(len(texts), dtype=bool)

    def _ask(self, texts: list[str], attempts: int) -> list[Any]:
        import httpx

        request = {"model": self.name, "input": texts, "encoding_format": "base64"}
        for attempt in range(attempts):
            retry_after = ""
            try:
                answer = self._client.post(self._address, json=request)
                if answer.status_code == 200:
                    rows = sorted(answer.json()["data"], key=lambda row: row["index"])
                    return [_numbers(row["embedding"]) for row in rows]
                trouble = f"status {answer.status_code}: {answer.text[:200]}"
                if answer.status_code not in BUSY:
                    break
                retry_after = answer.headers.get("Retry-After", "")
            except httpx.TransportError as error:
                trouble = f"no answer ({type(error).__name__}: {error})"
            except (KeyError, TypeError, ValueError):
                trouble = "an answer in another format than OpenAI's"
                break
            if attempt + 1 < attempts:
                time.sleep(pause(attempt + 1, first=self._pause, retry_after=retry_after))
        raise ServerFailed(f"{trouble}, after {attempt + 1} attempts")


def _numbers(embedding: str | list[float]) -> np.ndarray | list[float]:
    """A vector as it was asked for, in base64, or as servers give it that know nothing but lists."""
    return np.frombuffer(base64.b64decode(embedding), dtype="<f4") if isinstance(embedding, str) else embedding
