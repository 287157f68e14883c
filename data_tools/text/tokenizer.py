"""SentencePiece BPE tokenizers: trained, loaded, named by their hash.

Text goes in and out unchanged: no normalisation, line breaks and runs of spaces kept, unknown characters as bytes.
One exception: U+2581 comes back as a space, because SentencePiece writes spaces as that character.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_tools.corpus.manifest import Manifest, run_step
from data_tools.errors import InputError
from data_tools.files import content_hash, write_whole
from data_tools.text.readers import read_documents

MODEL = "tokenizer.model"
EOS_PIECE = "<eos>"


class Tokenizer:
    """A trained tokenizer."""

    def __init__(self, path: Path):
        import sentencepiece

        self.path = path
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise InputError(
                where=str(path), found=f"no SentencePiece model ({str(error).splitlines()[0]})",
                expected="a tokenizer folder or its tokenizer.model",
                fix="Train one with `megatron-ext data tokenizer`.",
            ) from None  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """From a tokenizer folder, or from a model file."""
        return cls(path / MODEL if path.is_dir() else path)

    @property
    def eos(self) -> int:
        """Id of the token that ends a document."""
        return self._model.eos_id()

    @property
    def vocabulary(self) -> int:
        return self._model.vocab_size()

    @property
    def hash(self) -> str:
        return content_hash(self.path)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, without end-of-document tokens."""
        return self._model.encode(list(texts))

    def decode(self, ids: Sequence[int]) -> str:
        return self._model.decode([int(token) for token in ids])


def train_tokenizer(
    documents: Sequence[Path], output: Path, *, vocabulary: int, replace: bool = False
) -> Manifest:
    """Train a BPE on documents; `output` holds `tokenizer.model`. The same documents give the same bytes.

    Raises:
        InputError: the documents can't be read or hold too little text for that vocabulary.
    """

    def build(scratch: Path) -> dict[str, Any]:
        counts = {"documents": 0, "characters": 0}
        refused: list[InputError] = []

        def lines() -> Iterator[str]:
            try:
                for document in read_documents(documents):
                    counts["documents"] += 1
                    counts["characters"] += len(document.text)
                    yield from (line for line in document.text.splitlines() if line)
            except InputError as error:
                refused.append(error)  # SentencePiece would make it a RuntimeError of its own

        try:
            model = _train(lines(), vocabulary)
        finally:
            if refused:
                raise refused[0]
        write_whole(scratch / MODEL, model)
        return counts | {"vocabulary": vocabulary}

    inputs = {str(number): path for number, path in enumerate(documents)}
    settings = {"vocabulary": vocabulary}
    return run_step(output, step="tokenizer", inputs=inputs, settings=settings, build=build, replace=replace)


def _train(lines: Iterator[str], vocabulary: int) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            model_type="bpe",
            vocab_size=vocabulary,
            character_coverage=0.9999,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            allow_whitespace_only_pieces=True,
            split_digits=True,
            user_defined_symbols=["\n"],
            unk_id=0,
            bos_id=-1,
            eos_id=1,
            pad_id=-1,
            eos_piece=EOS_PIECE,
            max_sentence_length=1 << 20,
            num_threads=2,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise InputError(
            where="tokenizer training", found=str(error).splitlines()[0], expected=f"text for {vocabulary} entries",
            fix="Give more documents, or ask for a smaller vocabulary.",
        ) from None  # fmt: skip
    return model.getvalue()
