"""Which engine writes, and with which model: a few settings that go to every worker, and open the engine there."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_tools.corpus.manifest import in_threads, is_finished, read_manifest
from data_tools.errors import InputError
from data_tools.files import content_hash, text_hash
from data_tools.synthesis.engines.engine import Engine

Kind = Literal["transformers", "vllm", "server"]

AT_ONCE = {"transformers": 32, "vllm": 256, "server": 256}
"""Requests that a model works on together, where nothing else is asked for."""


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """How answers come about; what they say depends on the model alone."""

    model: str
    """Hugging Face folder; of a server, the name under which it serves the model."""

    kind: Kind = "transformers"

    url: str = ""
    """Of a server that speaks OpenAI's protocol; ends in /v1 with most."""

    batch: int | None = None
    """Requests that a model in this process works on together. None: AT_ONCE."""

    concurrency: int | None = None
    """Requests that a server is given at a time. None: AT_ONCE."""

    timeout: float = 600
    """Seconds for one answer of a server."""

    patience: float = 900
    """Seconds without any answer, after which a server is given up."""

    tensor_parallel: int = 1
    """GPUs that vLLM spreads the model over."""

    memory: float = 0.9
    """Share of a GPU's memory that vLLM takes."""

    context: int | None = None
    """Tokens of prompt and answer that vLLM makes room for. None: as many as the model can take."""

    def open(self) -> Engine:
        """The engine, with its model loaded or its server found.

        Raises:
            InputError: the model can't be loaded, or the server doesn't have it.
        """
        return OPENERS[self._checked().kind](self)

    def generator(self) -> tuple[str, str]:
        """Name and hash of the model: what answers, wherever it runs.

        A folder is known by its content. A server tells no more than a name, so two models may not share one.

        Raises:
            InputError: there is no such folder.
        """
        if self._checked().kind == "server":
            return self.model, text_hash(f"served\0{self.model}")
        folder = Path(self.model)
        return folder.resolve().name, _hash_of_model(folder)

    @property
    def at_once(self) -> int:
        """Requests that the model works on together."""
        asked = self.concurrency if self.kind == "server" else self.batch
        return AT_ONCE[self.kind] if asked is None else asked

    def _checked(self) -> "EngineChoice":
        if self.kind not in AT_ONCE:
            raise InputError(
                where="engine", found=f"'{self.kind}'", expected="one of " + ", ".join(AT_ONCE), fix="Name one."
            )
        if self.at_once < 1:
            raise InputError(
                where=f"engine {self.kind}", found=f"{self.at_once} requests at a time", expected="at least 1",
                fix="Correct --concurrency." if self.kind == "server" else "Correct --batch.",
            )  # fmt: skip
        if self.kind == "server" and not self.url.startswith(("http://", "https://")):
            raise InputError(
                where="--url", found=f"'{self.url}'", expected="the address of a server, such as http://host:8000/v1",
                fix="Name it with --url.",
            )  # fmt: skip
        if self.kind != "server" and not (Path(self.model) / "config.json").is_file():
            raise InputError(
                where=self.model, found="no config.json", expected="a model as a Hugging Face folder",
                fix="Write one with `megatron-ext convert export`, or correct the path.",
            )  # fmt: skip
        return self


def _hash_of_model(folder: Path) -> str:
    if is_finished(folder):
        return read_manifest(folder).fingerprint
    files = {
        name: path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not (name := path.relative_to(folder).as_posix()).startswith(".")
    }
    return text_hash(json.dumps(in_threads(content_hash, files)))


def _transformers(choice: EngineChoice) -> Engine:
    from data_tools.synthesis.engines.local import LocalEngine

    return LocalEngine(Path(choice.model), batch=choice.at_once)


def _vllm(choice: EngineChoice) -> Engine:
    from data_tools.synthesis.engines.vllm_engine import VllmEngine

    return VllmEngine(
        Path(choice.model), batch=choice.at_once, tensor_parallel=choice.tensor_parallel, memory=choice.memory,
        context=choice.context,
    )  # fmt: skip


def _server(choice: EngineChoice) -> Engine:
    from data_tools.synthesis.engines.server import ServerEngine

    return ServerEngine(
        choice.url, choice.model, concurrency=choice.at_once, timeout=choice.timeout, patience=choice.patience
    )


OPENERS: dict[str, Callable[[EngineChoice], Engine]] = {
    "transformers": _transformers, "vllm": _vllm, "server": _server,
}  # fmt: skip
