"""Training of tokenizers: a SentencePiece BPE, or a byte-level BPE in Hugging Face's format.

Both write any text and give it back unchanged: no normalisation, line breaks and runs of spaces kept. SentencePiece
writes unknown characters as bytes and spaces as U+2581, which therefore comes back as a space.
"""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_tools.corpus.manifest import Manifest, run_step
from data_tools.errors import InputError
from data_tools.files import drawn, write_whole
from data_tools.text.inputs import inputs_of
from data_tools.text.readers import read_documents
from data_tools.text.tokenizer import HF_CONFIG, HF_MODEL, MODEL

EOS_PIECE = "<eos>"
VOCABULARY = 49_152
"""Entries: synthetic bootstrapped pretraining's own BPE has as many."""
KINDS = ("sentencepiece", "byte-level")


def train_tokenizer(
    documents: Sequence[Path],
    output: Path,
    *,
    vocabulary: int = VOCABULARY,
    kind: str = "sentencepiece",
    share: float = 1.0,
    replace: bool = False,
) -> Manifest:
    """Train a BPE on documents. The same documents give the same bytes.

    Args:
        documents: files of documents.
        output: folder to make; holds `tokenizer.model`, or `tokenizer.json` and `tokenizer_config.json`.
        vocabulary: entries, the end-of-document token included.
        kind: "sentencepiece" or "byte-level".
        share: of the documents, chosen by a hash of their names: training holds its text in memory.
        replace: remove an output that other settings made.

    Raises:
        InputError: the documents can't be read or hold too little text for that vocabulary.
    """
    if kind not in KINDS:
        raise InputError(
            where="kind of the tokenizer", found=f"'{kind}'", expected="one of " + ", ".join(KINDS), fix="Name one."
        )

    def build(scratch: Path) -> dict[str, Any]:
        counts = {"documents": 0, "characters": 0}
        refused: list[InputError] = []

        def texts() -> Iterator[str]:
            try:
                for document in read_documents(documents):
                    if drawn(document.id) < share:
                        counts["documents"] += 1
                        counts["characters"] += len(document.text)
                        yield document.text
            except InputError as error:
                refused.append(error)  # the libraries would make it an error of their own

        try:
            train = _train_sentencepiece if kind == "sentencepiece" else _train_byte_level
            files = train(texts(), vocabulary)
        finally:
            if refused:
                raise refused[0]
        for name, data in files.items():
            write_whole(scratch / name, data)
        return counts | {"vocabulary": vocabulary}

    inputs = inputs_of(documents).named()
    settings = {"vocabulary": vocabulary, "kind": kind, "share": share}
    return run_step(output, step="tokenizer", inputs=inputs, settings=settings, build=build, replace=replace)


def _too_little(error: Exception | str, vocabulary: int) -> InputError:
    return InputError(
        where="tokenizer training", found=str(error).splitlines()[0], expected=f"text for {vocabulary} entries",
        fix="Give more documents, or ask for a smaller vocabulary.",
    )  # fmt: skip


def _train_byte_level(texts: Iterator[str], vocabulary: int) -> dict[str, bytes | str]:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[EOS_PIECE], initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    if (found := tokenizer.get_vocab_size()) != vocabulary:
        raise _too_little(f"text for {found} entries only", vocabulary)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": EOS_PIECE}
    return {HF_MODEL: tokenizer.to_str(), HF_CONFIG: json.dumps(settings, indent=1) + "\n"}


def _train_sentencepiece(texts: Iterator[str], vocabulary: int) -> dict[str, bytes | str]:
    import sentencepiece

    model = io.BytesIO()
    lines = (line for text in texts for line in text.splitlines() if line)
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
            num_threads=2,  # written into the model: the bytes depend on it
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _too_little(error, vocabulary) from None
    return {MODEL: model.getvalue()}
