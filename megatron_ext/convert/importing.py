"""Hugging Face folders to folders that a run can start from, in any layout.

The output is like a run's: `checkpoints/step_00000000/`, `model.json` in place of a config, `tokenizer/`, and a
`manifest.json`. In memory there are the model in the asked precision and one tensor. All of a folder is checked, by
config.json and the headers of its files, before a model is built.
"""

import shutil
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data_tools.corpus.manifest import Manifest, run_step
from megatron_ext.convert import whole
from megatron_ext.convert.files import TOKENIZER, Progress, emptied, read_json, tokenizer_files
from megatron_ext.convert.hf_config import SPECIAL_TOKENS, model_of
from megatron_ext.convert.names import Entry, entries
from megatron_ext.convert.record import RECORD, ModelRecord, record_text
from megatron_ext.convert.shards import Stored, files_of, require_entries, stored_tensors

if TYPE_CHECKING:
    from torch import Tensor

GENERATION = "generation_config.json"


def import_hf(
    folder: Path,
    output: Path,
    *,
    precision: Literal["bf16", "fp32"] | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Make a folder for `init_from` and `convert export` of a Llama or Qwen3 model.

    Args:
        folder: Hugging Face folder with safetensors.
        output: folder to make.
        precision: of the weights; None: bf16 where all of them are, else fp32, so that none is rounded.
        replace: remove an import of something else that is already there.
        progress: called as weights are read.

    Raises:
        InputError: the model can't be one of ours, or a file or tensor is missing or of another shape.
    """
    settings = read_json(folder / "config.json", fix="Name a Hugging Face folder.")
    model = model_of(settings, where=str(folder / "config.json"))
    table, stored = list(entries(model)), stored_tensors(folder)
    require_entries(stored, table, folder=folder, tied=model.tied_embeddings)
    precision = precision or _exact_precision(table, stored)
    tokenizer = tokenizer_files(folder)
    generation = folder / GENERATION

    def build(scratch: Path) -> dict[str, Any]:
        record = ModelRecord(
            model=model,
            precision=precision,
            context=settings.get("max_position_embeddings") or 2048,
            tokens={name: settings.get(name) for name in SPECIAL_TOKENS},
            generation=read_json(generation, fix="Save the folder again.") if generation.is_file() else {},
            tokenizer=Path(TOKENIZER) if tokenizer else None,
        )
        (emptied(scratch) / RECORD).write_text(record_text(record))
        for name, path in tokenizer.items():
            (scratch / TOKENIZER).mkdir(exist_ok=True)
            shutil.copy(path, scratch / TOKENIZER / name)
        _save_weights(scratch, record, table, stored, progress)
        return {"tensors": len(table), "parameters": sum(prod(entry.shape) for entry in table)}

    kept = [folder / "config.json", generation, *tokenizer.values(), *files_of(folder)]
    inputs = {path.name: path for path in kept if path.is_file()}
    return run_step(
        output, step="import", inputs=inputs, settings={"precision": precision}, build=build, replace=replace
    )


def _exact_precision(table: Sequence[Entry], stored: Mapping[str, Stored]) -> Literal["bf16", "fp32"]:
    return "bf16" if {stored[entry.theirs].dtype for entry in table} == {"BF16"} else "fp32"


def _save_weights(
    folder: Path,
    record: ModelRecord,
    table: Sequence[Entry],
    stored: Mapping[str, Stored],
    progress: Progress | None,
) -> None:
    with whole.whole_model(record) as model:
        fill(whole.weights_of(model), table, stored, progress)
        whole.save(model, folder)


def fill(
    weights: "Mapping[str, Tensor]",
    table: Sequence[Entry],
    stored: Mapping[str, Stored],
    progress: Progress | None = None,
) -> None:
    """Put every stored tensor into its place; rows that only pad the vocabulary become 0."""
    for weight in weights.values():
        weight.zero_()
    for done, entry in enumerate(table, start=1):
        entry.write(weights[entry.ours], stored[entry.theirs].read())
        if progress:
            progress(done, len(table))
