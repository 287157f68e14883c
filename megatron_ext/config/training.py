"""How a model is trained: batches and their ramp, the learning rate, the optimizer, and when to give up."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, model_validator
from pydantic.dataclasses import dataclass

from megatron_ext.config.fields import (
    STRICT,
    AnyDuration,
    Duration,
    NotNegative,
    Positive,
    UnfitError,
    require_multiple,
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RampStage:
    """A smaller global batch at the beginning of a run."""

    until_tokens: PositiveInt
    """Tokens of the run after which the next stage begins, at the end of the step that reaches them."""
    global_batch: PositiveInt


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BatchConfig:
    """How samples make up training steps."""

    sequence_length: PositiveInt
    """Tokens in a sample."""
    global_batch: PositiveInt
    """Samples in an optimizer step, over all ranks. The last step of a run may have fewer."""
    micro_batch: PositiveInt = 1
    """Samples in one forward pass on one data-parallel rank. Changes speed and memory, never the data order."""
    ramp: tuple[RampStage, ...] = ()
    """Other global batches to begin with. Changes where steps end, never the data order."""

    @property
    def tokens_per_step(self) -> int:
        """Tokens of a step after the ramp."""
        return self.global_batch * self.sequence_length

    def stages(self) -> Iterator[tuple[int, int, int]]:
        """(first step, first sample, global batch) of each stage, the last without end."""
        step = sample = 0
        for stage in self.ramp:
            yield step, sample, stage.global_batch
            wanted = -(-stage.until_tokens // self.sequence_length) - sample
            steps = max(0, -(-wanted // stage.global_batch))  # none, if the stage before has gone past its end
            step, sample = step + steps, sample + steps * stage.global_batch
        yield step, sample, self.global_batch

    def first_sample(self, step: int) -> int:
        """Samples before a step, counted from 0."""
        first, sample, size = next(stage for stage in reversed(list(self.stages())) if stage[0] <= step)
        return sample + (step - first) * size

    def steps(self, samples: int) -> int:
        """Steps that a number of samples makes; a last one with fewer than a global batch counts."""
        if samples == 0:
            return 0
        first, sample, size = next(stage for stage in reversed(list(self.stages())) if stage[1] < samples)
        return first + -(-(samples - sample) // size)

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        reached = 0
        for stage in self.ramp:
            require_multiple("ramp.global_batch", stage.global_batch, "micro_batch", self.micro_batch)
            if stage.until_tokens <= reached:
                raise UnfitError(
                    found=f"ramp.until_tokens {stage.until_tokens} after {reached}",
                    expected="stages that end one after the other",
                    fix="Sort the stages by until_tokens.",
                )
            reached = stage.until_tokens
        require_multiple("global_batch", self.global_batch, "micro_batch", self.micro_batch)
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScheduleConfig:
    """The learning rate over the run. It follows the config of each start, never what a checkpoint remembers."""

    peak_lr: Positive
    end_lr: NotNegative = 0.0
    """Rate of the last step, where it decays."""
    warmup: AnyDuration = Field(default_factory=lambda: Duration(share=0.0))
    """In which the rate rises from 0 to its peak."""
    decay: Literal["cosine", "linear", "wsd", "constant"] = "cosine"
    """wsd: constant, then a linear fall over `cooldown` at the end."""
    cooldown: AnyDuration = Field(default_factory=lambda: Duration(share=0.1))
    """Length of the fall of wsd."""

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
class LimitsConfig:
    """When a run gives up, and what it reports."""

    skipped_steps: NonNegativeInt = 10
    """Steps left out because the loss or the gradient is not a number, before the run stops. Counted over the run."""
    hang_minutes: Positive = 30.0
    """A step, a save or a start that takes longer is taken for a hang: stacks are written and the process ends."""
    spike_deviations: Positive = 6.0
    """A loss this many standard deviations above its recent mean is reported with the documents of its step."""
