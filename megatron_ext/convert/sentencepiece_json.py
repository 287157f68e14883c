"""A SentencePiece BPE as `tokenizer.json`, which transformers and vLLM read: the same ids, and the same text back.

Without it transformers guesses a tokenizer from the model's architecture, takes a wrong one, and says nothing.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_tools.text.encoders import PROBES, SentencePieceModel
from data_tools.text.tokenizer import HF_CONFIG, HF_MODEL

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACE = "\u2581"
"""What SentencePiece writes for a space."""


def tokenizer_json(model: Path) -> dict[str, str]:
    """Name -> text of the files that stand for a `tokenizer.model`.

    Empty where they would give other ids or texts, on texts made to find that out: a model that normalises, puts a
    space in front, or is no BPE.
    """
    reference = SentencePieceModel(model)
    converted = _converted(reference)
    if not all(_same(converted, reference, text) for text in PROBES):
        return {}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": reference.model.id_to_piece(reference.eos)}
    return {HF_MODEL: converted.to_str(), HF_CONFIG: json.dumps(settings, indent=1) + "\n"}


def _converted(reference: SentencePieceModel) -> "Tokenizer":
    from sentencepiece.sentencepiece_model_pb2 import ModelProto
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    pieces = ModelProto.FromString(reference.model.serialized_model_proto()).pieces
    kinds = ModelProto.SentencePiece
    of_kind = {kind: [piece.piece for piece in pieces if piece.type == kind] for kind in kinds.Type.values()}
    numbers = {piece.piece: number for number, piece in enumerate(pieces)}
    learnt = sorted((piece for piece in pieces if piece.type == kinds.NORMAL), key=lambda piece: -piece.score)
    merges = list(_merges([piece.piece for piece in learnt], numbers))
    tokenizer = Tokenizer(
        models.BPE(vocab=numbers, merges=merges, byte_fallback=True, unk_token=of_kind[kinds.UNKNOWN][0])
    )
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    if by_hand := of_kind[kinds.USER_DEFINED]:  # such as line breaks: nothing is merged with them
        longest_first = sorted(by_hand, key=len, reverse=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("|".join(map(re.escape, longest_first))), "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(piece, special=True) for piece in of_kind[kinds.CONTROL]])
    tokenizer.encode_special_tokens = True
    return tokenizer


def _merges(learnt: list[str], numbers: dict[str, int]) -> Iterator[tuple[str, str]]:
    """The pairs of pieces that make each learnt piece, in the order of learning."""
    for piece in learnt:
        for cut in range(1, len(piece)):
            if piece[:cut] in numbers and piece[cut:] in numbers:
                yield piece[:cut], piece[cut:]


def _same(converted: "Tokenizer", reference: SentencePieceModel, text: str) -> bool:
    ids: list[Any] = reference.model.encode(text)
    found = converted.encode(text, add_special_tokens=False).ids
    return found == ids and converted.decode(ids) == reference.decode(ids)
