"""One shard of documents to one part of a corpus: what the workers of `tokenize` do."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from data_tools.corpus.assembly import PartWriter
from data_tools.corpus.groups import page_of
from data_tools.corpus.indexed import token_dtype
from data_tools.errors import InputError
from data_tools.files import content_hash
from data_tools.text.inputs import Shard
from data_tools.text.readers import Document, Fields, read_shard
from data_tools.text.rejects import Rejects
from data_tools.text.tokenizer import Tokenizer, model_file

AT_ONCE = 4 << 20
"""Characters that are encoded in one call."""

CHECKED = 1 << 14
"""Characters of each shard that the reference encodes too: about 1% of its time."""

TOO_LONG = ("drop", "split")


@dataclass(frozen=True)
class Choice:
    """A tokenizer, and how it encodes."""

    path: Path
    content: str
    """Hash of the file."""
    eos: str | None
    backend: str
    threads: bool

    @classmethod
    def of(cls, tokenizer: Path, *, eos: str | None, backend: str, threads: bool) -> Self:
        path = model_file(tokenizer)
        return cls(path, content_hash(path), eos, backend, threads)


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """work(shard, folder) for `run_shards`."""

    choice: Choice
    fields: Fields
    max_tokens: int
    too_long: str

    def __call__(self, shard: Shard, folder: Path) -> dict[str, Any]:
        tokenizer = loaded(self.choice)
        counts: Counter[str] = Counter(read=0, dropped_too_long=0, split=0)
        with Rejects(folder) as rejects, PartWriter(folder, token_dtype(tokenizer.vocabulary)) as part:
            for number, batch in enumerate(_batches(read_shard(shard, self.fields, rejects))):
                texts = [document.text for document in batch]
                if not number and not tokenizer.agrees(_sample(texts)):
                    return {"differs": True}
                ids, lengths = tokenizer.encode_joined(texts)
                names = [document.id for document in batch]
                part.add(*self._cut(ids, lengths, names, tokenizer.eos, counts))
                counts["read"] += len(batch)
        return {"differs": False, "backend": tokenizer.backend} | counts

    def _cut(
        self, ids: np.ndarray, lengths: np.ndarray, names: list[str], eos: int, counts: Counter[str]
    ) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Tokens, lengths and names as they stand in the corpus: none too long, each with its end."""
        long = lengths > self.max_tokens
        if long.any():
            counts["dropped_too_long" if self.too_long == "drop" else "split"] += int(long.sum())
            if self.too_long == "drop":
                ids, lengths = ids[np.repeat(~long, lengths)], lengths[~long]
                names = [name for name, dropped in zip(names, long.tolist(), strict=True) if not dropped]
            else:
                parts = np.maximum(1, -(-lengths // self.max_tokens))
                lengths = _even_parts(lengths, parts)
                names = [
                    part for name, count in zip(names, parts.tolist(), strict=True) for part in _parts(name, count)
                ]
        return np.insert(ids, np.cumsum(lengths), eos), lengths + 1, names


def _even_parts(lengths: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Lengths of the parts of each document: as equal as can be, so that none is a crumb."""
    owner = np.repeat(np.arange(len(parts)), parts)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(parts) - parts, parts)
    return lengths[owner] // parts[owner] + (place < lengths[owner] % parts[owner])


def _parts(name: str, count: int) -> Iterator[str]:
    """Names of the parts of a document, all of its page."""
    joint = "." if page_of(name) != name else "#"
    return iter([name]) if count == 1 else (f"{name}{joint}{number}" for number in range(count))


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    batch, size = [], 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _sample(texts: list[str]) -> list[str]:
    """The beginnings of texts, spread over the batch."""
    chosen = texts[:: max(1, len(texts) // 8)]
    return [text[: CHECKED // len(chosen)] for text in chosen]


@lru_cache(maxsize=2)
def loaded(choice: Choice) -> Tokenizer:
    """The tokenizer, loaded once in this process and those that are forked from it.

    Call it before the workers are started: what each of them would load takes longer than 10M tokens.
    """
    tokenizer = Tokenizer(choice.path, eos=choice.eos, backend=choice.backend, threads=choice.threads)
    if (found := tokenizer.hash) != choice.content:
        raise InputError(
            where=str(choice.path), found=f"hash {found}", expected=f"{choice.content}, as when this build began",
            fix="Don't change a tokenizer that is in use: run the command again.",
        )  # fmt: skip
    return tokenizer
