"""What a comparison of megadocs is: one model and one real corpus, and arms that differ in what stands beside it.

Source: megadocs. The real corpus is read in epochs, a view over synthetic corpora gets a share of all steps.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, model_validator
from pydantic.dataclasses import dataclass

from megatron_ext.config.fields import STRICT, AnyPath, UnfitError
from megatron_ext.config.model import LayoutConfig, ModelConfig, require_layout
from megatron_ext.config.schema import CheckpointConfig, TrackingConfig
from megatron_ext.config.sweep import Value
from megatron_ext.config.training import BatchConfig, LimitsConfig, OptimizerConfig, ScheduleConfig

BASELINE = "baseline"
"""The arm that the others are compared with."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ViewConfig:
    """Synthetic corpora, put together to megadocs, and how they are read."""

    synthetic: Annotated[tuple[AnyPath, ...], Field(min_length=1)]
    """Corpora that `synth` made of the real one; within a megadoc members keep their order."""
    layout: Literal["simple", "stitched", "latent"] = "stitched"
    """Documents each on its own, stitched, or real ones with thoughts in them."""
    real: Literal["last", "first", "absent"] = "last"
    """Where the real document stands among the others."""
    order: Literal["shuffled", "in_order"] = "shuffled"
    """As of a source: whether the windows of one megadoc come one after the other."""
    members: Literal["fixed", "permuted"] = "fixed"
    """permuted: the synthetic members of a stitched megadoc change their order from epoch to epoch."""
    across_documents: bool = True
    """Whether a token may attend to earlier megadocs in its row."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ArmConfig:
    """One way to train: the real corpus, and perhaps a view beside it."""

    epochs: PositiveInt
    """How often the real corpus is read."""
    view: str | None = None
    """Name of the view beside it."""
    weight: Annotated[FiniteFloat, Field(gt=0, lt=1)] | None = None
    """Share of the view in all steps; steps = int(steps_per_epoch * epochs / (1 - weight))."""
    changes: dict[str, Value] = Field(default_factory=dict)
    """Settings of this arm only, as `schedule.peak_lr: 0.01`: where a sweep has found them to be best."""

    @model_validator(mode="after")
    def _view_has_a_weight(self) -> Self:
        if (self.view is None) != (self.weight is None):
            raise UnfitError(
                found=f"view {self.view} with weight {self.weight}", expected="both, or neither",
                fix="Give the view a weight, or leave both out.",
            )  # fmt: skip
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScanPoint:
    """The baseline on another amount of real data."""

    steps_per_epoch: PositiveInt
    """Steps in which this amount is read once: its tokens are so many global batches."""
    epochs: PositiveInt
    """How often it is read."""
    changes: dict[str, Value] = Field(default_factory=dict)
    """Settings of this point only, as of an arm."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScanConfig:
    """Baselines at several amounts of real data, of which the loss's law is fitted; the baseline arm is one more."""

    corpus: AnyPath | None = None
    """That all of them are taken from, by drawn documents, the smaller in the larger. None: the real corpus."""
    points: Annotated[tuple[ScanPoint, ...], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EnsemblesConfig:
    """Arms that are trained with several seeds, and evaluated together by the mean of logits."""

    members: PositiveInt
    """Seeds of each of these arms: the experiment's, and those after it. They change first weights and data order."""
    arms: Annotated[tuple[str, ...], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ComparisonConfig:
    """Everything that a comparison's folder is made from. Each arm's runs have all settings below in common."""

    name: Name
    real: AnyPath
    """The real corpus."""
    heldout: AnyPath
    """Corpus that all runs are evaluated on; none of its pages may be in any other corpus here."""
    steps_per_epoch: PositiveInt
    """Steps in which the real corpus is read once: its whole steps; checked against it before anything is trained."""
    views: dict[Name, ViewConfig] = Field(default_factory=dict)
    arms: Annotated[dict[Name, ArmConfig], Field(min_length=1)]
    """One of them is called `baseline` and has no view."""
    scan: ScanConfig | None = None
    """None: no data efficiency."""
    ensembles: EnsemblesConfig | None = None
    long_documents: AnyPath | None = None
    """Held-out corpus (the one above, or another) on whose documents of more than a row the loss by position is
    measured. None: it isn't."""
    model: ModelConfig
    batch: BatchConfig
    schedule: ScheduleConfig
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    layout: LayoutConfig = Field(default_factory=LayoutConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    precision: Literal["fp32", "bf16", "fp8"] = "fp32"
    seed: NonNegativeInt = 1234
    """Of first weights and data order of each arm's first run, of the views and of the scan's draw."""
    processes: PositiveInt = 1
    """Ranks of each run on this machine."""

    @property
    def members(self) -> dict[str, int]:
        """Arm -> its runs, which differ in their seed."""
        together = self.ensembles
        return {name: together.members if together and name in together.arms else 1 for name in self.arms}

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        baseline = self.arms.get(BASELINE)
        if baseline is None or baseline.view is not None:
            raise UnfitError(
                found="no arm `baseline`" if baseline is None else f"a baseline with the view {baseline.view}",
                expected="one arm of real data only that the others are compared with",
                fix="Add `baseline: {epochs: 16}` to `arms`.",
            )  # fmt: skip
        _require_known("view", {arm.view for arm in self.arms.values() if arm.view}, self.views)
        _require_known("arm of the ensembles", set(self.ensembles.arms) if self.ensembles else set(), self.arms)
        if self.batch.ramp:
            raise UnfitError(
                found="a ramp of the global batch", expected="steps of one size, which epochs are counted in",
                fix="Leave batch.ramp out.",
            )  # fmt: skip
        sizes = [point.steps_per_epoch for point in self.scan.points] if self.scan else []
        if len({*sizes, self.steps_per_epoch}) <= len(sizes):
            raise UnfitError(
                found=f"steps_per_epoch {sizes} beside {self.steps_per_epoch}", expected="different amounts of data",
                fix="Leave repeated points out; the baseline arm is a point of the scan already.",
            )  # fmt: skip
        require_layout(self.model, self.layout, sequence_length=self.batch.sequence_length)
        return self


def _require_known(what: str, used: set[str], known: dict[str, Any]) -> None:
    for name in sorted(used - set(known)):
        raise UnfitError(
            found=f"the {what} '{name}'", expected=f"one of {', '.join(known) or 'none'}",
            fix="Correct the name, or describe it.",
        )  # fmt: skip
