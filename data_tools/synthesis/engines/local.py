"""transformers in this process: the engine that needs no server, on a GPU or a laptop's CPU.

An answer depends on the request alone, not on the others that it was computed with (see decoding), and so not on the
batch size or on an interruption either.
"""

from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from data_tools.synthesis.engines.choosing import weigh, weighed
from data_tools.synthesis.engines.codec import Codec
from data_tools.synthesis.engines.decoding import Row, Written, decode
from data_tools.synthesis.requests import Answer, Request, Unanswered

BATCHES_QUEUED = 4
"""Of requests, among which those with prompts of like length are done together: padding costs as much as text."""


class LocalEngine:
    """A Hugging Face folder, loaded: bf16 on a GPU, float32 without one."""

    def __init__(self, folder: Path, *, batch: int):
        """Load model and tokenizer.

        Raises:
            InputError: they can't be loaded.
        """
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        gpu = torch.cuda.is_available()
        dtype = torch.bfloat16 if gpu else torch.float32
        try:
            model = AutoModelForCausalLM.from_pretrained(str(folder), local_files_only=True, dtype=dtype)
        except (OSError, ValueError) as error:
            raise InputError(
                where=str(folder), found=f"no model that can be loaded ({error})", expected="a Hugging Face folder",
                fix="Write one with `megatron-ext convert export`.",
            ) from None  # fmt: skip
        self._model: Any = model.eval().to("cuda" if gpu else "cpu")
        self._codec = Codec(folder)
        self._batch, self.capacity = batch, BATCHES_QUEUED * batch
        self._queue: list[tuple[Request, Row]] = []
        self._refused: list[tuple[Request, Answer]] = []

    def submit(self, request: Request) -> None:
        """See Engine.

        Raises:
            InputError: the prompt has token ids that the model doesn't know.
        """
        fit = self._codec.fit(request, self._codec.context)
        if isinstance(fit, Answer):
            self._refused.append((request, fit))
        else:
            choices = self._codec.choices(request)
            self._queue.append((request, Row(fit[0], request.sampling, request.seed, fit[1], choices)))

    def collect(self) -> list[tuple[Request, Answer | Unanswered]]:
        """Refused ones, or the answers of one batch: that of the request that waits longest.

        Raises:
            InputError: the memory is too small for such a batch.
        """
        import torch

        if self._refused:
            refused, self._refused = self._refused, []
            return list(refused)
        batch = self._next_batch()
        try:
            return self._weighed(batch) if batch[0][1].choices else self._written(batch)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "memory" not in str(error):
                raise
            raise InputError(
                where="--batch", found=f"{len(batch)} prompts of up to {max(len(row.prompt) for _, row in batch)} "
                "tokens, which don't fit into the memory", expected="fewer", fix="Make it smaller.", keeps_work=True,
            ) from None  # fmt: skip

    def close(self) -> None:
        """Free the model."""
        self._model = None
        self._queue, self._refused = [], []

    def _written(self, batch: list[tuple[Request, Row]]) -> list[tuple[Request, Answer | Unanswered]]:
        written = decode(self._model, [row for _, row in batch], self._codec.ends)
        return [(request, self._answer(row, got)) for (request, row), got in zip(batch, written, strict=True)]

    def _weighed(self, batch: list[tuple[Request, Row]]) -> list[tuple[Request, Answer | Unanswered]]:
        """Each prompt once: what is asked without any text is the same for all documents."""
        alike = {(request.prompt, request.choices): row for request, row in batch}
        found = dict(zip(alike, weigh(self._model, list(alike.values())), strict=True))
        return [
            (request, weighed(found[request.prompt, request.choices], len(row.prompt))) for request, row in batch
        ]

    def _answer(self, row: Row, written: Written) -> Answer:
        finish = "stop" if written.ended else "length"
        return Answer(self._codec.decode(written.ids), finish, len(row.prompt), len(written.ids))

    def _next_batch(self) -> list[tuple[Request, Row]]:
        """The oldest request and those of its kind whose prompts are nearest to its in length; they leave the queue."""
        weighs = bool(self._queue[0][1].choices)
        alike = [number for number, (_, row) in enumerate(self._queue) if bool(row.choices) == weighs]
        by_length = sorted(alike, key=lambda number: len(self._queue[number][1].prompt))
        first = max(0, min(by_length.index(0) - self._batch // 2, len(by_length) - self._batch))
        taken = sorted(by_length[first : first + self._batch])
        batch = [self._queue[number] for number in taken]
        for number in reversed(taken):
            del self._queue[number]
        return batch
