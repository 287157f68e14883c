"""Tokens on disk: Megatron's `.bin` and `.idx`, memory-mapped, byte for byte as Megatron-core writes them.

`.bin` is the tokens of all documents, one after another. `.idx` is: 9 bytes magic, version u64, type code u8, number of
sequences u64, number of document boundaries u64, lengths i32, byte offsets i64, boundaries i64. Here every document is
one sequence. The writer holds no list of documents: lengths go to a file as they come.
"""

import shutil
import struct
from pathlib import Path
from typing import Self

import numpy as np

from data_tools.errors import InputError

CORPUS_PREFIX = "corpus"
"""A corpus folder holds `corpus.bin`, `corpus.idx` and their sidecars."""

MAGIC = b"MMIDIDX\x00\x00"
HEADER = struct.Struct("<9sQBQQ")
DTYPE_CODES = {np.dtype(np.int32): 4, np.dtype(np.uint16): 8}
SMALL_VOCABULARY = 65_500
CHUNK = 1 << 20
"""Documents at a time when the index is written: 8 MB."""


def token_dtype(vocabulary: int) -> np.dtype:
    """uint16 for vocabularies below 65,500 entries, else int32: Megatron's own choice."""
    return np.dtype(np.uint16 if vocabulary < SMALL_VOCABULARY else np.int32)


def file_of(prefix: Path, suffix: str) -> Path:
    """A file of a corpus. The suffix is added, never put in place of another: `corpus-v1.5` is a prefix too."""
    return prefix.with_name(prefix.name + suffix)


class CorpusWriter:
    """Writes `<prefix>.bin` and, when closed, `<prefix>.idx`."""

    def __init__(self, prefix: Path, dtype: np.dtype):
        self.prefix, self.dtype = prefix, np.dtype(dtype)
        self._bin = file_of(prefix, ".bin").open("wb")
        self._lengths_path = file_of(prefix, ".lengths")
        self._lengths = self._lengths_path.open("wb")
        self.documents = 0
        self.tokens = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_error: object) -> None:
        if kind is None:
            self.close()
        else:
            self._close_files()

    def close(self) -> None:
        """Write the index: from then on the corpus can be read."""
        self._bin.close()
        self._lengths.close()
        write_index(self.prefix, self.dtype, self._lengths_path)
        self._close_files()

    def _close_files(self) -> None:
        self._bin.close()
        self._lengths.close()
        self._lengths_path.unlink()

    def add(self, tokens: np.ndarray) -> None:
        """Append one document: token ids, its end-of-document token included."""
        self._bin.write(np.ascontiguousarray(tokens, dtype=self.dtype).tobytes())
        self._lengths.write(np.int32(len(tokens)).tobytes())
        self.documents += 1
        self.tokens += len(tokens)


def write_index(prefix: Path, dtype: np.dtype, lengths: Path) -> tuple[int, int]:
    """Write `<prefix>.idx`; returns the number of documents and of tokens.

    Args:
        prefix: of the corpus.
        dtype: of its tokens.
        lengths: file of the documents' lengths in tokens, int32, in order.
    """
    count, offset = lengths.stat().st_size // 4, 0
    with file_of(prefix, ".idx").open("wb") as file, lengths.open("rb") as stream:
        file.write(HEADER.pack(MAGIC, 1, DTYPE_CODES[dtype], count, count + 1))
        shutil.copyfileobj(stream, file, 4 * CHUNK)
        stream.seek(0)
        for _ in range(0, count, CHUNK):
            ends = np.cumsum(np.fromfile(stream, dtype=np.int32, count=CHUNK), dtype=np.int64)
            file.write((offset + np.concatenate([[0], ends[:-1]])) * dtype.itemsize)
            offset += int(ends[-1])
        for start in range(0, count + 1, CHUNK):
            file.write(np.arange(start, min(start + CHUNK, count + 1), dtype=np.int64))
    return count, offset


class IndexedCorpus:
    """Reads a `.bin/.idx` pair without loading it.

    Raises:
        InputError: a file is missing, foreign, or not as long as its header says.
    """

    def __init__(self, prefix: Path):
        self.prefix = prefix
        index, data = file_of(prefix, ".idx"), file_of(prefix, ".bin")
        for path in (index, data):
            if not path.is_file():
                raise InputError(
                    where=str(path), found="no such file", expected="an indexed corpus (.bin and .idx)",
                    fix="Make it with `megatron-ext data tokenize`, or correct the corpus folder.",
                )  # fmt: skip
        self.dtype, count = read_header(index)
        if not count:
            raise InputError(
                where=str(index), found="no documents", expected="at least one", fix="Tokenize some documents first."
            )
        at = HEADER.size
        self.lengths = np.memmap(index, dtype=np.int32, mode="r", offset=at, shape=(count,))
        self.offsets = np.memmap(index, dtype=np.int64, mode="r", offset=at + 4 * count, shape=(count,))
        expected = int(self.offsets[-1]) + int(self.lengths[-1]) * self.dtype.itemsize
        if data.stat().st_size != expected or not expected:
            raise InputError(
                where=str(data), found=f"{data.stat().st_size} bytes", expected=f"{expected} bytes, as its .idx says",
                fix="The file is cut off or belongs to another index: build the corpus again.",
            )  # fmt: skip
        self._tokens = np.memmap(data, dtype=self.dtype, mode="r")

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def token_count(self) -> int:
        return len(self._tokens)

    def document(self, number: int) -> np.ndarray:
        """Token ids of one document, its end-of-document token included.

        Raises:
            InputError: the index contradicts itself there.
        """
        offset, length = int(self.offsets[number]), int(self.lengths[number])
        # What a damaged index says must never be read as tokens: a document ends where the next one begins.
        end = self._tokens.nbytes if number + 1 == len(self.lengths) else int(self.offsets[number + 1])
        if length <= 0 or offset < 0 or offset + length * self.dtype.itemsize != end:
            raise InputError(
                where=str(file_of(self.prefix, ".idx")),
                found=f"document {number} of {length} tokens from byte {offset} to {end}",
                expected="documents end to end", fix="Check the corpus with `megatron-ext data verify`.",
            )  # fmt: skip
        start = offset // self.dtype.itemsize
        return self._tokens[start : start + length]

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """Token ids of a stretch of the corpus, documents joined."""
        return self._tokens[start:stop]


def read_header(index: Path) -> tuple[np.dtype, int]:
    """Type of the tokens and number of documents.

    Raises:
        InputError: the file is foreign, cut off, or its header was changed.
    """
    with index.open("rb") as file:
        head = file.read(HEADER.size)
    magic, version, code, count, boundaries = HEADER.unpack(head) if len(head) == HEADER.size else (b"", 0, 0, 0, 0)
    dtypes = {code: dtype for dtype, code in DTYPE_CODES.items()}
    if magic != MAGIC or version != 1 or code not in dtypes:
        raise InputError(
            where=str(index), found="no index of this kind", expected="Megatron's MMIDIDX, version 1, int32 or uint16",
            fix="Build the corpus again with `megatron-ext data tokenize`.",
        )  # fmt: skip
    if boundaries != count + 1:
        raise InputError(
            where=str(index), found=f"{count} sequences and {boundaries} document boundaries",
            expected="one sequence in each document",
            fix="It was damaged or made by another tool: `megatron-ext data repair` makes an index of the tokens.",
        )  # fmt: skip
    expected = HEADER.size + 12 * count + 8 * boundaries
    if index.stat().st_size != expected:
        raise InputError(
            where=str(index), found=f"{index.stat().st_size} bytes",
            expected=f"{expected} bytes for {count} documents",
            fix="The file is cut off: `megatron-ext data repair` makes an index of the tokens.",
        )  # fmt: skip
    return dtypes[code], count
