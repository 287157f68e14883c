"""The sizes of a model, and how it is cut over processes: each refused where it cannot be built."""

from typing import Literal, Self

from pydantic import PositiveInt, model_validator
from pydantic.dataclasses import dataclass

from data_tools.errors import InputError
from megatron_ext.config.fields import STRICT, Positive, UnfitError, require_multiple


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RopeScaling:
    """Llama 3's stretching of rotary positions: slow rotations are slowed further, fast ones are left alone."""

    factor: Positive
    """By which the slow rotations are slowed."""
    low_frequency: Positive = 1.0
    """Rotations with fewer turns than this in the original context are slowed by the whole factor."""
    high_frequency: Positive = 4.0
    """Rotations with more turns than this are left alone; between the two it is blended."""
    original_context: PositiveInt = 8192
    """Sequence length that the model was first trained with."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.low_frequency >= self.high_frequency:
            raise UnfitError(
                found=f"low_frequency {self.low_frequency} and high_frequency {self.high_frequency}",
                expected="low_frequency below high_frequency",
                fix="Llama 3 has 1.0 and 4.0.",
            )
        return self


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
    head_dim: PositiveInt | None = None
    """Width of a head. None: hidden / heads."""
    rope_base: Positive = 500000.0
    rope_scaling: RopeScaling | None = None
    qk_norm: bool = True
    tied_embeddings: bool = False
    """Whether the output layer uses the embedding's weights."""
    norm_epsilon: Positive = 1e-5
    init_std: Positive = 0.02
    """Standard deviation of the normal distribution that weights start from."""

    @property
    def head_size(self) -> int:
        return self.head_dim or self.hidden // self.heads

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.head_dim is None:
            require_multiple("hidden", self.hidden, "twice heads, for rotary positions", 2 * self.heads)
        else:
            require_multiple("head_dim", self.head_dim, "two, for rotary positions", 2)
        require_multiple("heads", self.heads, "kv_heads", self.kv_heads)
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LayoutConfig:
    """How one model is cut over processes; the processes left over are data-parallel. Changes speed, never the data."""

    tensor: PositiveInt = 1
    """Ranks that share each layer."""
    sequence_parallel: bool = False
    """Whether tensor ranks also share the positions between the matrices: less memory for activations."""
    pipeline: PositiveInt = 1
    """Ranks that share the layers among them."""
    chunks: PositiveInt = 1
    """Interleaved pipeline: stretches of layers on each pipeline rank. More of them idle less and talk more."""
    context: PositiveInt = 1
    """Ranks that share each sequence; needs Transformer Engine."""
    recompute: Literal["none", "selective", "full"] = "none"
    """Activations computed again in the backward pass: attention's only, or whole layers."""
    overlap: bool = True
    """Whether gradients are reduced and weights gathered while the passes go on."""

    @property
    def model_ranks(self) -> int:
        """Ranks that hold one copy of the model between them."""
        return self.tensor * self.pipeline * self.context

    @model_validator(mode="after")
    def _parts_go_together(self) -> Self:
        if self.chunks > 1 and self.pipeline == 1:
            raise UnfitError(
                found=f"chunks {self.chunks} with pipeline 1",
                expected="pipeline of at least 2 for an interleaved one",
                fix="Set chunks to 1, or pipeline to 2 or more.",
            )
        if self.sequence_parallel and self.tensor == 1:
            raise UnfitError(
                found="sequence_parallel with tensor 1",
                expected="tensor of at least 2",
                fix="Set sequence_parallel to false, or tensor to 2 or more.",
            )
        return self


def require_ranks(layout: LayoutConfig, ranks: int, *, where: str) -> None:
    """Refuse a number of processes that the layout can't use.

    Raises:
        InputError: it is not a multiple of the ranks that hold one copy of the model.
    """
    needed = layout.model_ranks
    if ranks % needed:
        raise InputError(
            where=where,
            found=f"{ranks} processes for tensor {layout.tensor} x pipeline {layout.pipeline} "
            f"x context {layout.context}",
            expected=f"a multiple of {needed}",
            fix=f"Start with --processes {max(needed, ranks // needed * needed)}, or choose a smaller layout.",
        )


def require_layout(model: ModelConfig, layout: LayoutConfig, *, sequence_length: int) -> None:
    """Refuse a layout that cannot cut the model evenly.

    Raises:
        UnfitError: heads, key-value heads, ffn, layers or positions do not divide.
    """
    for name in ("heads", "kv_heads", "ffn"):
        require_multiple(f"model.{name}", getattr(model, name), "layout.tensor", layout.tensor)
    stages = layout.pipeline * layout.chunks
    require_multiple("model.layers", model.layers, "layout.pipeline x chunks" if layout.chunks > 1 else
                     "layout.pipeline", stages)  # fmt: skip
    if layout.sequence_parallel:
        require_multiple("batch.sequence_length", sequence_length, "layout.tensor", layout.tensor)
    if layout.context > 1:
        parts = 2 * layout.context
        require_multiple("batch.sequence_length", sequence_length, "twice layout.context", parts)
