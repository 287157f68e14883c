"""Tokenizers: SentencePiece's `tokenizer.model` and Hugging Face's `tokenizer.json`, named by their hash.

Ids come from the reference library of each format, or from a faster one as long as it gives the same ids: see encoders.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_tools.errors import InputError
from data_tools.files import content_hash, write_whole
from data_tools.text.encoders import Encoder, HuggingFaceModel, SentencePieceModel, equal, fast

MODEL, HF_MODEL, HF_CONFIG = "tokenizer.model", "tokenizer.json", "tokenizer_config.json"
BACKENDS = ("auto", "gigatoken", "reference")


class Tokenizer:
    """A tokenizer with the library that encodes for it."""

    def __init__(self, path: Path, *, eos: str | None = None, backend: str = "reference", threads: bool = True):
        """Load a tokenizer.

        Args:
            path: `tokenizer.model` or `tokenizer.json`.
            eos: token that ends a document, where tokenizer_config.json doesn't name it.
            backend: "reference": the library that the format comes from. "auto": gigatoken if it can read it and
                gives the same ids for texts made to find differences. "gigatoken": that, or an InputError.
            threads: whether encoding may use all cores; not where several processes encode.

        Raises:
            InputError: there is no such tokenizer, or its end-of-document token is unknown.
        """
        self.path = path
        is_json = path.suffix == ".json"
        self.reference: SentencePieceModel | HuggingFaceModel = (
            HuggingFaceModel(path, eos=eos, threads=threads) if is_json else SentencePieceModel(path, threads=threads)
        )
        found = None if backend == "reference" else fast(path, self.reference, threads=threads)
        if backend == "gigatoken" and found is None:
            raise InputError(
                where=str(path), found="a tokenizer that gigatoken can't read, or gives other ids for",
                expected="one for which its ids equal the reference's", fix="Leave the choice to --backend auto.",
            )  # fmt: skip
        self._encoder: Encoder = found or self.reference

    @classmethod
    def load(
        cls, path: Path, *, eos: str | None = None, backend: str = "reference", threads: bool = True
    ) -> "Tokenizer":
        """From a folder of a tokenizer or of a corpus, or from a model file."""
        return cls(model_file(path), eos=eos, backend=backend, threads=threads)

    @property
    def eos(self) -> int:
        """Id of the token that ends a document."""
        return self.reference.eos

    @property
    def vocabulary(self) -> int:
        return self.reference.vocabulary

    @property
    def backend(self) -> str:
        """The library that encodes."""
        return self._encoder.name

    @property
    def hash(self) -> str:
        """Of the model file; what ends a document is no part of it."""
        return content_hash(self.path)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, without end-of-document tokens."""
        ids, lengths = self.encode_joined(texts)
        return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])] if len(lengths) else []

    def encode_joined(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all texts joined, integers of shape (tokens,), and how many each text has, int64 (texts,)."""
        return self._encoder.encode(texts)

    def agrees(self, texts: Sequence[str]) -> bool:
        """Whether the library that encodes gives the reference's ids for these texts."""
        return self._encoder is self.reference or equal(self._encoder, self.reference, texts)

    def decode(self, ids: Sequence[int]) -> str:
        return self.reference.decode([int(token) for token in ids])

    def copy_to(self, folder: Path) -> None:
        """Write the tokenizer's file into a folder, from which `load` reads it with the same end-of-document token."""
        write_whole(folder / self.path.name, self.path.read_bytes())
        if isinstance(self.reference, HuggingFaceModel):
            settings = self.path.with_name(HF_CONFIG)
            known = json.loads(settings.read_text()) if settings.is_file() else {}
            known["eos_token"] = self.reference.model.id_to_token(self.eos)
            write_whole(folder / HF_CONFIG, json.dumps(known, indent=1, ensure_ascii=False) + "\n")


def model_file(path: Path) -> Path:
    """The file of a tokenizer, given itself or its folder.

    Raises:
        InputError: there is none.
    """
    names = (MODEL, HF_MODEL)
    found = path if path.is_file() else next((path / name for name in names if (path / name).is_file()), None)
    if found is None:
        raise InputError(
            where=str(path), found="no tokenizer", expected="a folder with tokenizer.model or tokenizer.json",
            fix="Train one with `megatron-ext data tokenizer`, or correct the path.",
        )  # fmt: skip
    return found
