"""Checkpoints of runs and imported models to Hugging Face folders, for transformers, vLLM and lm-eval.

Values are copied, never computed: an import that is exported again has the same tensors, bit by bit.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data_tools.corpus.manifest import Manifest, run_step
from data_tools.errors import InputError
from data_tools.text.tokenizer import HF_MODEL, MODEL
from megatron_ext.checkpoint.folders import is_checkpoint, resolve
from megatron_ext.checkpoint.integrity import INTEGRITY
from megatron_ext.convert import whole
from megatron_ext.convert.files import emptied, special_tokens, tokenizer_files
from megatron_ext.convert.hf_config import hf_config
from megatron_ext.convert.names import entries
from megatron_ext.convert.record import ModelRecord, read_record
from megatron_ext.convert.sentencepiece_json import tokenizer_json
from megatron_ext.convert.shards import SHARD_BYTES, shard_plan, write_shards

if TYPE_CHECKING:
    from torch import Tensor

DTYPES = {"bf16": "bfloat16", "fp32": "float32"}
"""Our name of a precision -> torch's."""
BYTES = {"bf16": 2, "fp32": 4}


def export_hf(
    folder: Path,
    output: Path,
    *,
    tokenizer: Path | None = None,
    precision: Literal["bf16", "fp32"] | None = None,
    replace: bool = False,
    shard_bytes: int = SHARD_BYTES,
) -> Manifest:
    """Write a checkpoint as a Hugging Face folder, whatever layout it was trained in.

    Args:
        folder: a checkpoint, or what holds some: a run, finished or not, or an imported model; then the newest.
        output: folder to make: `config.json`, `generation_config.json`, safetensors, and the tokenizer's files.
        tokenizer: folder to copy along; it says which token ends a document. None: the one that the run names, or
            that was imported.
        precision: of the weights; None: that of the checkpoint.
        replace: remove an export of another checkpoint that is already there.
        shard_bytes: most bytes of tensors in a file.

    Raises:
        InputError: there is no complete checkpoint, or no tokenizer is known.
    """
    holder = folder.parent.parent if is_checkpoint(folder) else folder
    record = read_record(holder)
    checkpoint = resolve(folder)
    precision = precision or record.precision
    copied, tokens = _tokenizer(record, tokenizer, holder)

    def build(scratch: Path) -> dict[str, Any]:
        emptied(scratch)
        table = list(entries(record.model))
        sizes = {entry.theirs: prod(entry.shape) for entry in table}
        plan = shard_plan(((name, size * BYTES[precision]) for name, size in sizes.items()), limit=shard_bytes)
        with whole.whole_model(record) as model:
            whole.load(model, checkpoint)
            write_shards(scratch, _tensors(record, whole.weights_of(model), DTYPES[precision]), plan=plan)
        settings = hf_config(record.model, context=record.context, tokens=tokens, dtype=DTYPES[precision])
        known = {name: token for name, token in tokens.items() if token is not None}
        for name, values in {"config": settings, "generation_config": record.generation or known}.items():
            (scratch / f"{name}.json").write_text(json.dumps(dict(values), indent=1) + "\n")
        for name, path in copied.items():
            shutil.copy(path, scratch / name)
        if MODEL in copied and HF_MODEL not in copied:
            for name, text in tokenizer_json(copied[MODEL]).items():
                if name not in copied:
                    (scratch / name).write_text(text)
        for file in scratch.glob("*.safetensors"):  # safetensors lets nobody else read what it writes
            shutil.copymode(scratch / "config.json", file)
        return {"tensors": len(table), "parameters": sum(sizes.values()), "files": len(plan)}

    inputs = {INTEGRITY: checkpoint / INTEGRITY} | {f"tokenizer/{name}": path for name, path in copied.items()}
    settings = {"checkpoint": checkpoint.name, "precision": precision, "tokens": tokens, "shard_bytes": shard_bytes}
    return run_step(output, step="export", inputs=inputs, settings=settings, build=build, replace=replace)


def _tensors(record: ModelRecord, weights: "Mapping[str, Tensor]", dtype: str) -> "Iterator[tuple[str, Tensor]]":
    import torch

    for entry in entries(record.model):
        value = entry.read(weights[entry.ours])
        yield entry.theirs, value.to("cpu", getattr(torch, dtype), copy=True).contiguous()


def _tokenizer(record: ModelRecord, given: Path | None, folder: Path) -> tuple[dict[str, Path], Mapping[str, Any]]:
    """(name -> file to copy, special tokens)."""
    place = given or record.tokenizer
    tokens = record.tokens if given is None else {}
    if place is None and not tokens:
        raise InputError(
            where="--tokenizer", found=f"none, and none that {folder} names",
            expected="the tokenizer whose tokens this model was trained on",
            fix="Give its folder with --tokenizer, or set `tokenizer:` in the run file.",
        )  # fmt: skip
    if place is None:
        return {}, tokens
    return tokenizer_files(place), tokens or special_tokens(place)
