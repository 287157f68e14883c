"""Libraries that turn texts to ids: the reference of each kind of tokenizer, and a fast one that has to equal it.

A text is a text: what looks like a special token in it ("<|endoftext|>") is encoded letter by letter, so that no
document can end before its end.
"""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np

from data_tools.errors import InputError

PROBES = (
    "", " ", "a", " a", "a ", "  a  b", "\n", "\n\n\n", "\t\tx", "a\r\nb", "12345678", "3.14e-10", "I'll they're",
    "naïve café", "ﬁn — “quote” …", "日本語の文章です。", "Привет, мир", "مرحبا",
    "👩‍👩‍👧‍👦 🇩🇪", "e\u0301 \u00a0 \u200b \ufeff",
    "def f(x):\n    return x**2  # ok", "http://a.b/c?d=e&f=%20", "<s></s><unk><pad>", "\u2581under\u2581score",
    "A" * 300, " " * 50 + "end", "0" * 50,
)  # fmt: skip
"""Texts on which tokenizers tend to differ."""

FEW = 1 << 26
"""Characters up to which a process encodes text by text: for batches gigatoken imports another library, for 0.3 s."""


class Encoder(Protocol):
    """One library with one tokenizer loaded."""

    name: str

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Ids of all texts joined, integers of shape (tokens,), and how many each text has, int64 (texts,)."""


class SentencePieceModel:
    """The reference for `tokenizer.model`: the library `sentencepiece`."""

    name = "sentencepiece"

    def __init__(self, path: Path, *, threads: bool = True):
        import sentencepiece

        self._threads = -1 if threads else 1
        try:
            self.model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise InputError(
                where=str(path), found=f"no SentencePiece model ({str(error).splitlines()[0]})",
                expected="a tokenizer folder, its tokenizer.model or its tokenizer.json",
                fix="Train one with `megatron-ext data tokenizer`.",
            ) from None  # fmt: skip
        self.eos, self.vocabulary = self.model.eos_id(), self.model.vocab_size()
        special = [number for number in range(self.vocabulary) if self.model.is_control(number)]
        self.specials = tuple(map(self.model.id_to_piece, [self.model.unk_id(), *special]))

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        return _joined(self.model.encode(list(texts), num_threads=self._threads))

    def decode(self, ids: Sequence[int]) -> str:
        return self.model.decode(list(ids))


class HuggingFaceModel:
    """The reference for `tokenizer.json`: the library `tokenizers`."""

    name = "tokenizers"

    def __init__(self, path: Path, *, eos: str | None, threads: bool = True):
        self._threads = threads
        os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads else "false"
        from tokenizers import Tokenizer

        try:
            self.model = Tokenizer.from_file(str(path))
        except Exception as error:  # the library has no narrower class
            raise InputError(
                where=str(path), found=f"no tokenizer ({error})", expected="a tokenizer.json of Hugging Face",
                fix="Copy it again from where it comes.",
            ) from None  # fmt: skip
        self.model.no_padding()
        self.model.no_truncation()
        self.model.encode_special_tokens = True
        self.vocabulary = self.model.get_vocab_size(with_added_tokens=True)
        added = self.model.get_added_tokens_decoder().values()
        self.specials = tuple(token.content for token in added if token.special)
        self.eos = self._eos(path, eos)

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        if self._threads:
            return self._encode(list(texts), max(1, len(texts)))
        # On one core a batch gains nothing, and keeping its results costs a fifth of the time. And a thread allocates
        # from an arena of its own: in the first one, which Python fills with holes, the library takes a third longer.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._encode, texts, 1).result()

    def _encode(self, texts: Sequence[str], at_once: int) -> tuple[np.ndarray, np.ndarray]:
        batches = (list(texts[start : start + at_once]) for start in range(0, len(texts), at_once))
        encode = self.model.encode_batch_fast
        return _joined([text.ids for batch in batches for text in encode(batch, add_special_tokens=False)])

    def decode(self, ids: Sequence[int]) -> str:
        return self.model.decode(list(ids), skip_special_tokens=False)

    def _eos(self, path: Path, named: str | None) -> int:
        settings = path.with_name("tokenizer_config.json")
        if named is None and settings.is_file():
            given = json.loads(settings.read_text()).get("eos_token")
            named = given["content"] if isinstance(given, dict) else given
        if named is None and len(self.specials) == 1:
            named = self.specials[0]
        number = None if named is None else self.model.token_to_id(named)
        if number is None:
            raise InputError(
                where=str(path), found="no end-of-document token" if named is None else f"no token '{named}'",
                expected="one that tokenizer_config.json or --eos names: " + ", ".join(self.specials),
                fix="Name it with --eos TOKEN.",
            )  # fmt: skip
        return number


class Gigatoken:
    """The fast library `gigatoken`, which reads both kinds of tokenizer.

    Texts that hold a special token's letters go to the reference: gigatoken would make it the special token.
    """

    name = "gigatoken"

    def __init__(self, path: Path, reference: SentencePieceModel | HuggingFaceModel, *, threads: bool = True):
        import gigatoken

        read = gigatoken.Tokenizer if path.suffix == ".json" else gigatoken.Tokenizer.from_sentencepiece
        self._model, self._threads, self._reference = read(path), threads, reference
        self._encoded = 0
        self._opening = os.path.commonprefix(reference.specials)

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        if any(self._holds_a_special(text) for text in texts):
            return self._with_reference(texts)
        if self._encoded < FEW:
            self._encoded += sum(map(len, texts))
            ids = [self._model.encode(text) for text in texts]
            return np.concatenate([np.zeros(0, np.uint32), *ids]), np.fromiter(map(len, ids), np.int64, len(ids))
        rows = self._model.encode_batch(list(texts), parallel=self._threads).layout
        starts = np.asarray(rows.offsets.data)
        return np.asarray(rows.content.data)[starts[0] : starts[-1]], np.diff(starts)

    def _holds_a_special(self, text: str) -> bool:
        return self._opening in text and any(special in text for special in self._reference.specials)

    def _with_reference(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        parts = [(self._reference if self._holds_a_special(text) else self).encode([text]) for text in texts]
        return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))


def equal(one: Encoder, other: Encoder, texts: Sequence[str]) -> bool:
    """Whether both give the same ids for all of the texts."""
    found, expected = one.encode(texts), other.encode(texts)
    return all(map(np.array_equal, found, expected))


def fast(path: Path, reference: SentencePieceModel | HuggingFaceModel, *, threads: bool) -> Encoder | None:
    """gigatoken, where it is installed, reads this tokenizer, and equals the reference on texts made to find it out."""
    try:
        found = Gigatoken(path, reference, threads=threads)
        return found if equal(found, reference, PROBES) else None
    except Exception:  # of a foreign library, on a tokenizer that it doesn't know: the reference does the work
        return None


def _joined(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    return np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(lengths.sum())), lengths
