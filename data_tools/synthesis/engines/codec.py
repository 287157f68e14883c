"""Prompts to token ids, and token ids to text, for engines whose model runs in this process.

The tokenizer is the model's own. A folder with nothing but SentencePiece's `tokenizer.model` is read by our reference:
transformers takes such a file for a tokenizer of another kind.
"""

import json
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from data_tools.synthesis.engines.engine import no_room
from data_tools.synthesis.requests import Answer, Prompt, Request
from data_tools.text.tokenizer import HF_CONFIG, HF_MODEL, MODEL, Tokenizer

CONFIG, GENERATION = "config.json", "generation_config.json"


class Codec:
    """The tokenizer of a Hugging Face folder, with the tokens at which answers end."""

    def __init__(self, folder: Path):
        """Load it.

        Raises:
            InputError: the folder has no tokenizer.
        """
        plain = not any((folder / name).is_file() for name in (HF_MODEL, HF_CONFIG)) and (folder / MODEL).is_file()
        self._plain = Tokenizer.load(folder) if plain else None
        self._theirs: Any = None if plain else _load(folder)
        self.ends = _ends(folder) | ({self._plain.eos} if self._plain else {self._theirs.eos_token_id} - {None})
        """Ids of all tokens that end an answer."""
        config = _read(folder / CONFIG)
        config = config.get("text_config", config)  # of a model that sees as well
        self.context: int | None = config.get("max_position_embeddings")
        self._vocabulary: int | None = config.get("vocab_size")

    def fit(self, request: Request, context: int | None) -> tuple[list[int], int] | Answer:
        """The prompt's ids and how many tokens may be written, or the refusal of a prompt that leaves no room.

        Args:
            request: what is asked.
            context: tokens of prompt and answer that there is room for; None: without end.

        Raises:
            InputError: the prompt has ids that the model doesn't know.
        """
        prompt, most = self.encode(request.prompt), request.sampling.max_tokens
        needed = max(map(len, self.choices(request)), default=1)
        if not prompt:
            return Answer("the prompt is empty", "refused")
        if self._vocabulary is not None and max(prompt) >= self._vocabulary:
            raise InputError(
                where="prompts", found=f"token {max(prompt)}", expected=f"ids below {self._vocabulary}, the model's",
                fix="Use a model that was trained with the corpus's tokenizer.",
            )  # fmt: skip
        if context is None or len(prompt) + needed <= context:
            return prompt, most if context is None else min(most, context - len(prompt))
        return Answer(no_room(len(prompt), context), "refused", len(prompt))

    def encode(self, prompt: Prompt) -> list[int]:
        """Ids as they are; a text as what the user of a chat model says, if the model has a template for that."""
        if not isinstance(prompt, str):
            return list(prompt)
        if self._plain:
            return self._plain.encode([prompt])[0]
        if not self._theirs.chat_template:
            return self._theirs.encode(prompt)
        said = [{"role": "user", "content": prompt}]
        # The template writes the tokens that begin a text itself.
        text = self._theirs.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
        return self._theirs.encode(text, add_special_tokens=False)

    def choices(self, request: Request) -> tuple[list[int], ...]:
        """Ids of what a request gives to choose from, as they begin an answer: without a template, on a new line."""
        if self._plain:
            return tuple(self._plain.encode([f"\n{choice}" for choice in request.choices]))
        start = "" if self._theirs.chat_template else "\n"
        return tuple(self._theirs.encode(start + choice, add_special_tokens=False) for choice in request.choices)

    def decode(self, ids: list[int]) -> str:
        """The text, without special tokens."""
        if self._plain:
            return self._plain.decode(ids)
        return self._theirs.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def _load(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(
            where=str(folder), found=f"no tokenizer that can be loaded ({_first_line(error)})",
            expected="tokenizer.json, or tokenizer.model",
            fix="Copy the tokenizer that the model was trained with into the folder.",
        ) from None  # fmt: skip


def _ends(folder: Path) -> set[int]:
    """What generation_config.json says, or config.json where it says nothing: a number, several, or none."""
    for name in (GENERATION, CONFIG):
        found = _read(folder / name).get("eos_token_id")
        if found is not None:
            return {found} if isinstance(found, int) else set(found)
    return set()


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
