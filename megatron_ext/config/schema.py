"""What a run is made of: small frozen parts, each checked when it is made. Derived values are properties.

A misspelt key, a number written as text or a value that does not fit another one is refused, never put right silently.
"""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveInt,
    Strict,
    ValidationInfo,
    model_validator,
)
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid", strict=True)  # a misspelt key stops the run; it must never be a silent default


class UnfitError(ValueError):
    """A value that does not fit another one; `loading.py` makes an InputError of it."""

    def __init__(self, *, found: str, expected: str, fix: str):
        super().__init__(f"found {found}, expected {expected}. {fix}")
        self.found, self.expected, self.fix = found, expected, fix


def _from_its_file(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return path if base is None else Path(os.path.abspath(base / path.expanduser()))


AnyPath = Annotated[Path, Strict(False), AfterValidator(_from_its_file)]
"""A path; in a file it is relative to that file."""

Share = Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]
Positive = Annotated[FiniteFloat, Field(gt=0.0)]
NotNegative = Annotated[FiniteFloat, Field(ge=0.0)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelConfig:
    """Sizes of a Llama 3 model, with per-head QK-norm where asked for."""

    layers: PositiveInt
    hidden: PositiveInt
    ffn: PositiveInt
    """Inner width of the SwiGLU feed-forward block."""
    heads: PositiveInt
    kv_heads: PositiveInt
    """Key-value heads: `heads` is a multiple of it."""
    vocabulary: PositiveInt
    rope_base: Positive = 500000.0
    qk_norm: bool = True
    tied_embeddings: bool = False
    """Whether the output layer uses the embedding's weights."""
    norm_epsilon: Positive = 1e-5
    init_std: Positive = 0.02
    """Standard deviation of the normal distribution that weights start from."""

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        _require_multiple("hidden", self.hidden, "twice heads, for rotary positions", 2 * self.heads)
        _require_multiple("heads", self.heads, "kv_heads", self.kv_heads)
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SourceConfig:
    """One corpus of a mixture."""

    corpus: AnyPath
    """Folder of the corpus, as `data tokenize` wrote it."""
    tokens: PositiveInt
    """Tokens that the run trains on from this source, repeats included: whole rows of sequence_length."""
    max_epochs: PositiveInt | None = None
    """Most times that a token may be seen. Synthetic sources: 1. None: as often as `tokens` asks."""
    kind: Literal["windows", "pairs"] = "windows"
    """windows: rows cut from the corpus. pairs: one pair of documents a row, and only d2 is trained."""
    pairs: AnyPath | None = None
    """Folder of the pairs, as `data pairs` wrote it; kind pairs only."""

    @model_validator(mode="after")
    def _pairs_go_with_their_kind(self) -> Self:
        if (self.kind == "pairs") != (self.pairs is not None):
            raise UnfitError(
                found=f"kind {self.kind} {'without' if self.pairs is None else 'with'} a folder of pairs",
                expected="kind pairs and a folder of pairs together",
                fix="Set both `kind: pairs` and `pairs: FOLDER`, or neither.",
            )
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
        _require_multiple("global_batch", self.global_batch, "micro_batch", self.micro_batch)
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScheduleConfig:
    """The learning rate over the run."""

    peak_lr: Positive
    end_lr: NotNegative = 0.0
    """Rate of the last step, where it decays."""
    warmup: Share = 0.0
    """Share of all steps in which the rate rises from 0 to its peak."""
    decay: Literal["cosine", "constant"] = "cosine"

    @model_validator(mode="after")
    def _ends_below_its_peak(self) -> Self:
        if self.end_lr > self.peak_lr:
            raise UnfitError(
                found=f"end_lr {self.end_lr} above peak_lr {self.peak_lr}",
                expected="a rate that falls after its peak",
                fix="Lower end_lr, or raise peak_lr.",
            )
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OptimizerConfig:
    """AdamW."""

    weight_decay: NotNegative = 0.1
    beta1: Annotated[FiniteFloat, Field(ge=0.0, lt=1.0)] = 0.9
    beta2: Annotated[FiniteFloat, Field(ge=0.0, lt=1.0)] = 0.95
    epsilon: Positive = 1e-8
    clip_grad: NotNegative = 1.0
    """Largest norm of the whole gradient; 0 clips nothing."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LayoutConfig:
    """How one model is cut over processes; the processes left over are data-parallel."""

    tensor: PositiveInt = 1
    """Ranks that share each layer."""
    pipeline: PositiveInt = 1
    """Ranks that share the layers among them."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CheckpointConfig:
    """When to save."""

    every: PositiveInt = 100
    """Steps between checkpoints; the last step is always saved."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrackingConfig:
    """Who is told of the run besides its own events.jsonl."""

    wandb: Literal["offline", "online", "disabled"] = "offline"
    project: str = "megatron_ext"
    tensorboard: bool = True


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RunConfig:
    """One training run: a model, a mixture, and how the one is trained on the other."""

    model: ModelConfig
    sources: Annotated[dict[str, SourceConfig], Field(min_length=1)]
    """Name in the mixture -> corpus. The order of the names changes nothing."""
    batch: BatchConfig
    schedule: ScheduleConfig
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    layout: LayoutConfig = Field(default_factory=LayoutConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 1234
    """Of the weights and of the sample order."""
    precision: Literal["fp32", "bf16"] = "fp32"
    init_from: AnyPath | None = None
    """Folder of a run whose last weights this one starts from. None: fresh weights."""
    tokenizer: AnyPath | None = None
    """Folder of the tokenizer, kept beside exports and used to show samples."""

    @property
    def tokens(self) -> int:
        """Tokens of the whole run, repeats included."""
        return sum(source.tokens for source in self.sources.values())

    @property
    def steps(self) -> int:
        return self.tokens // self.batch.tokens_per_step

    @property
    def samples(self) -> int:
        return self.tokens // self.batch.sequence_length

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        for name, source in self.sources.items():
            row = self.batch.sequence_length
            require_whole(f"sources.{name}.tokens", source.tokens, row, f"whole rows of {row} tokens")
        step = self.batch.tokens_per_step
        require_whole("sources: a total of", self.tokens, step, f"whole steps of {step} tokens")
        require_layout(self.model, self.layout)
        return self


def require_whole(name: str, tokens: int, unit: int, what: str) -> None:
    """Refuse tokens that are no multiple of a unit, with the nearest that are.

    Raises:
        UnfitError: they are not.
    """
    if tokens % unit == 0:
        return
    below = tokens // unit * unit
    nearest = f"{below} or {below + unit}" if below else str(unit)
    raise UnfitError(found=f"{name} {tokens}", expected=what, fix=f"The nearest that fit: {nearest}.")


def require_layout(model: ModelConfig, layout: LayoutConfig) -> None:
    """Refuse a layout that cannot cut the model evenly.

    Raises:
        UnfitError: heads, key-value heads, ffn or layers do not divide.
    """
    for name in ("heads", "kv_heads", "ffn"):
        _require_multiple(f"model.{name}", getattr(model, name), "layout.tensor", layout.tensor)
    _require_multiple("model.layers", model.layers, "layout.pipeline", layout.pipeline)


def _require_multiple(name: str, value: int, unit_name: str, unit: int) -> None:
    if value % unit:
        raise UnfitError(
            found=f"{name} {value}",
            expected=f"a multiple of {unit} ({unit_name})",
            fix=f"Set {name.rpartition('.')[2]} to {value // unit * unit or unit} or {(value // unit + 1) * unit}, "
            f"or change {unit_name.partition(',')[0].removeprefix('twice ')}.",
        )
