"""Small files of a conversion: JSON read with care, a scratch folder emptied, and the tokenizer that goes along."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from data_tools.files import require_file
from data_tools.text.tokenizer import Tokenizer

TOKENIZER = "tokenizer"
"""Folder of the tokenizer inside an imported model."""
SENTENCEPIECE = "tokenizer.model"
TOKENIZER_FILES = (
    "tokenizer.json", SENTENCEPIECE, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "chat_template.jinja",
)  # fmt: skip

Progress = Callable[[int, int], None]
"""Called with (tensors done, tensors in all)."""


def read_json(path: Path, *, fix: str) -> dict[str, Any]:
    """The keys and values of a file.

    Raises:
        InputError: it isn't there, or isn't an object in JSON.
    """
    try:
        values = json.loads(require_file(path, fix=fix).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(where=str(path), found=f"no JSON ({error})", expected="keys and values", fix=fix) from None
    if not isinstance(values, dict):
        raise InputError(where=str(path), found=f"a {type(values).__name__}", expected="keys and values", fix=fix)
    return values


def emptied(scratch: Path) -> Path:
    """The folder, without what a killed build has left in it: of another number of files, say."""
    shutil.rmtree(scratch)
    scratch.mkdir()
    return scratch


def tokenizer_files(place: Path) -> dict[str, Path]:
    """Name in a Hugging Face folder -> each file of a tokenizer, given as a folder or as SentencePiece's model."""
    if place.is_file():
        return {SENTENCEPIECE: place}
    return {name: place / name for name in TOKENIZER_FILES if (place / name).is_file()}


def special_tokens(place: Path) -> dict[str, int | None]:
    """Ids of the tokens that begin, end and pad a text, by the names that `config.json` gives them.

    Raises:
        InputError: there is no tokenizer, or its files can't be read.
    """
    files = tokenizer_files(place)
    if "tokenizer.json" not in files:
        eos = Tokenizer.load(place).eos
        return {"bos_token_id": None, "eos_token_id": eos, "pad_token_id": eos}
    fix = "Copy the tokenizer again from where it comes."
    added = read_json(files["tokenizer.json"], fix=fix).get("added_tokens") or ()
    ids = {entry["content"]: entry["id"] for entry in added}
    settings = read_json(place / "tokenizer_config.json", fix=fix)
    contents = {name: settings.get(f"{name}_token") for name in ("bos", "eos", "pad")}
    found = {
        name: ids.get(content["content"] if isinstance(content, dict) else content)
        for name, content in contents.items()
    }
    pad = found["eos"] if found["pad"] is None else found["pad"]
    return {"bos_token_id": found["bos"], "eos_token_id": found["eos"], "pad_token_id": pad}
