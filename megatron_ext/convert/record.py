"""What a folder with checkpoints holds: the model of a run (`config.json`) or of an import (`model.json`). No torch."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from megatron_ext.config import ModelConfig, as_dict, model_from_dict, run_from_dict

RECORD = "model.json"
RUN_CONFIG = "config.json"
NO_MATTER = {"init_std", "head_dim"}
"""Keys that may differ between a model and the weights it starts from; `head_size` is compared instead of head_dim."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """A model in a folder, and what has to go along with its weights."""

    model: ModelConfig
    precision: str
    """Of the weights: fp32 or bf16."""
    context: int
    """Longest sequence that it is meant for."""
    tokens: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Special tokens as `config.json` of Hugging Face names them; empty for a run, whose tokenizer knows them."""
    generation: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The `generation_config.json` that came with an import."""
    tokenizer: Path | None = None
    """Folder of the tokenizer, where one is known."""


def read_record(folder: Path) -> ModelRecord:
    """The record of a run or of an imported model.

    Raises:
        InputError: the folder holds neither, or a record that can't be used.
    """
    path = folder / RECORD if (folder / RECORD).is_file() else folder / RUN_CONFIG
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        raise _no_record(folder, f"neither {RECORD} nor {RUN_CONFIG}") from None
    except ValueError as error:
        raise _no_record(path, f"no JSON ({error})") from None
    if not isinstance(values, dict):
        raise _no_record(path, f"a {type(values).__name__}")
    if "architectures" in values or "model_type" in values:
        raise _no_record(folder, "a Hugging Face folder")
    if path.name == RUN_CONFIG:
        run = run_from_dict(values, where=str(path))
        precision = "fp32" if run.precision == "fp32" else "bf16"
        return ModelRecord(
            model=run.model, precision=precision, context=run.batch.sequence_length, tokenizer=run.tokenizer
        )
    try:
        model = model_from_dict(values.pop("model"), where=str(path))
        tokenizer = folder / values.pop("tokenizer") if values.get("tokenizer") else None
        return ModelRecord(**values | {"model": model, "tokenizer": tokenizer})
    except (KeyError, TypeError) as error:
        raise _no_record(path, f"a record that misses or adds a key ({error})") from None


def record_text(record: ModelRecord) -> str:
    """The contents of `model.json`; the tokenizer's path in it is relative to the folder."""
    values = dataclasses.asdict(record)
    tokenizer = None if record.tokenizer is None else str(record.tokenizer)
    return json.dumps(values | {"model": as_dict(record.model), "tokenizer": tokenizer}, indent=1) + "\n"


def require_same_model(model: ModelConfig, weights: Path) -> None:
    """Refuse weights of another model than the one that is to start from them.

    Args:
        model: of the run.
        weights: its `init_from`.

    Raises:
        InputError: the folder is no run and no imported model, or its model differs; every difference is named.
    """
    found = read_record(weights).model
    ours, theirs = _comparable(model), _comparable(found)
    differing = [key for key in ours if ours[key] != theirs[key]]
    if differing:
        raise InputError(
            where=f"init_from {weights}",
            found=", ".join(f"{key} {_shown(theirs[key])}" for key in differing),
            expected="this run's " + ", ".join(f"{key} {_shown(ours[key])}" for key in differing),
            fix=f"Copy `model` from {weights}, or start from weights of this model.",
        )


def _comparable(model: ModelConfig) -> dict[str, Any]:
    values = {key: value for key, value in as_dict(model).items() if key not in NO_MATTER}
    return values | {"head_size": model.head_size}


def _shown(value: Any) -> str:
    return json.dumps(value).replace('"', "")


def _no_record(where: Path, found: str) -> InputError:
    return InputError(
        where=str(where), found=found, expected="the folder of a run or of an imported model",
        fix="Name such a folder; `megatron-ext convert import` makes one from a Hugging Face folder.",
    )  # fmt: skip
