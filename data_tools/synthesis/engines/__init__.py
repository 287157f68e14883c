"""Engines: prompts of token ids to continuations. Here: transformers, the embedded default that needs no server."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from data_tools.errors import InputError


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine wrote after one prompt."""

    ids: list[int]
    """Without the end-of-document token."""
    finished: bool
    """Whether it ended by itself; False if it was cut at the length limit."""


class Engine(Protocol):
    """Continues prompts."""

    def generate(
        self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, temperature: float, top_p: float, eos: int,
        seed: int,
    ) -> list[Answer]:  # fmt: skip
        """One answer for each prompt, in order; the same seed gives the same answers."""


class TransformersEngine:
    """A Hugging Face folder, run by transformers with a key-value cache; prompts are padded on the left."""

    def __init__(self, folder: Path):
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            self._model: Any = AutoModelForCausalLM.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError) as error:
            raise InputError(
                where=str(folder), found=f"no model that can be loaded ({error})", expected="a Hugging Face folder",
                fix="Write one with `megatron-ext convert export`.",
            ) from None  # fmt: skip
        self._model.eval().to("cuda" if torch.cuda.is_available() else "cpu")

    def generate(
        self, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, temperature: float, top_p: float, eos: int,
        seed: int,
    ) -> list[Answer]:  # fmt: skip
        """See Engine. temperature 0 takes the likeliest token each time."""
        import torch

        longest = max(len(prompt) for prompt in prompts)
        ids = torch.tensor([[eos] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        torch.manual_seed(seed)
        sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
        with torch.no_grad():
            written = self._model.generate(
                ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                max_new_tokens=max_new_tokens,
                eos_token_id=eos,
                pad_token_id=eos,
                **(sampling if temperature > 0 else {"do_sample": False}),
            )
        return [_answer(row, eos) for row in written[:, longest:].tolist()]


def _answer(ids: list[int], eos: int) -> Answer:
    return Answer(ids[: ids.index(eos)], True) if eos in ids else Answer(ids, False)
