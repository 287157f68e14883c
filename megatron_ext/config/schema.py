"""What a run is made of: small frozen parts, each checked when it is made. Derived values are properties.

A misspelt key, a number written as text or a value that does not fit another one is refused, never put right silently.
The parts are in `model.py`, `data.py` and `training.py`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator
from pydantic.dataclasses import dataclass

from megatron_ext.config.data import BlendConfig, PhaseConfig, SourceConfig
from megatron_ext.config.evaluation import EvaluationConfig
from megatron_ext.config.fields import STRICT, AnyPath, UnfitError, require_whole
from megatron_ext.config.knowledge import KnowledgeConfig, require_room
from megatron_ext.config.model import LayoutConfig, ModelConfig, require_layout
from megatron_ext.config.training import BatchConfig, LimitsConfig, OptimizerConfig, ScheduleConfig

KNOWLEDGE = "knowledge"
"""What injected passages are counted under, beside the names of the sources."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CheckpointConfig:
    """When to save, how, and what to keep."""

    every: PositiveInt = 100
    """Steps between checkpoints; the last step is always saved."""
    keep: PositiveInt = 2
    """Newest complete checkpoints that stay."""
    keep_every: PositiveInt | None = None
    """Checkpoints of steps that are a multiple of this stay for ever."""
    asynchronous: bool = True
    """Whether training goes on while the files are written."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrackingConfig:
    """Who is told of the run besides its own events.jsonl."""

    wandb: Literal["offline", "online", "disabled"] = "offline"
    project: str = "megatron_ext"
    group: str | None = None
    """Runs that W&B shows together: the experiment's name."""
    job_type: str | None = None
    """What the run is in its group: the arm's kind."""
    tensorboard: bool = True


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RunConfig:
    """One training run: a model, a mixture, and how the one is trained on the other."""

    model: ModelConfig
    sources: Annotated[dict[str, SourceConfig], Field(min_length=1)]
    """Name in the mixture -> corpus. The order of the names changes nothing."""
    phases: tuple[PhaseConfig, ...] = ()
    """Mixtures one after the other. Empty: one phase, of each source's `tokens`."""
    blend: BlendConfig | None = None
    """One phase, told by epochs of the real source and weights of the others, in place of tokens."""
    batch: BatchConfig
    schedule: ScheduleConfig
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    layout: LayoutConfig = Field(default_factory=LayoutConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 1234
    """Of the weights and of the sample order."""
    precision: Literal["fp32", "bf16", "fp8"] = "fp32"
    """bf16 and fp8 keep float32 main weights. fp8 needs Transformer Engine."""
    init_from: AnyPath | None = None
    """Folder of a run, or of an imported model, whose last weights this one starts from. None: fresh weights."""
    init_optimizer: Literal["fresh", "kept"] = "fresh"
    """Whether the optimizer's moments of `init_from` are taken over. The learning rate is always this config's."""
    tokenizer: AnyPath | None = None
    """Folder of the tokenizer, kept beside exports and used to show samples."""
    knowledge: KnowledgeConfig | None = None
    """Facts that are shown at planned steps and asked for as the run trains. None: none are."""
    evaluation: EvaluationConfig | None = None
    """Tasks that the model is asked as it trains. None: none are."""

    @property
    def mixture(self) -> tuple[PhaseConfig, ...]:
        """The phases, also where the sources say their tokens themselves."""
        if self.phases:
            return self.phases
        if self.blend:
            batch = self.batch
            tokens = self.blend.tokens(global_batch=batch.global_batch, sequence_length=batch.sequence_length)
            return (PhaseConfig(tokens=tokens),)
        return (PhaseConfig(tokens={name: source.tokens or 0 for name, source in self.sources.items()}),)

    @property
    def counted(self) -> tuple[str, ...]:
        """What losses and trained tokens are counted under: the sources by name, then the injected passages."""
        return (*sorted(self.sources), *((KNOWLEDGE,) if self.knowledge else ()))

    @property
    def isolated(self) -> bool:
        """Whether rows may hold stretches that must not see one another: pairs, or documents on their own."""
        return any(source.kind == "pairs" or not source.across_documents for source in self.sources.values())

    @property
    def tokens(self) -> int:
        """Tokens of the whole run, repeats included."""
        return sum(phase.length for phase in self.mixture)

    @property
    def samples(self) -> int:
        return self.tokens // self.batch.sequence_length

    @property
    def steps(self) -> int:
        return self.batch.steps(self.samples)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        _require_tokens_in_one_place(self)
        row = self.batch.sequence_length
        for number, phase in enumerate(self.mixture):
            prefix = f"phases.{number}" if self.phases else "sources"
            for name, tokens in phase.tokens.items():
                require_whole(f"{prefix}.{name}.tokens", tokens, row, f"whole rows of {row} tokens")
            require_whole(f"{prefix}.stop", phase.length, row, f"whole rows of {row} tokens")
        require_layout(self.model, self.layout, sequence_length=row)
        if self.layout.context > 1 and self.isolated:
            raise UnfitError(
                found=f"layout.context {self.layout.context} with pairs, or a source whose documents are isolated",
                expected="context 1, or windows with attention across documents",
                fix="Set layout.context to 1: a sequence cut over ranks is attended to as a whole.",
            )
        if self.knowledge:
            if KNOWLEDGE in self.sources:
                raise UnfitError(
                    found=f"a source named {KNOWLEDGE} beside the section of that name",
                    expected="another name: injected passages are counted under it",
                    fix=f"Rename sources.{KNOWLEDGE}.",
                )
            require_room(self.knowledge, self.batch, self.samples)
        return self


def _require_tokens_in_one_place(run: RunConfig) -> None:
    counted = [name for name, source in run.sources.items() if source.tokens is not None]
    if run.blend:
        named = {run.blend.real, *run.blend.weights}
        if counted or run.phases or named != set(run.sources):
            raise UnfitError(
                found="a blend of " + ", ".join(sorted(named))
                + (" beside tokens of sources or phases" if counted or run.phases else ""),
                expected=f"the sources {', '.join(sorted(run.sources))}, whose tokens nothing else says",
                fix="Name each source in `blend`, and leave `phases` and the sources' `tokens` out.",
            )  # fmt: skip
        if run.batch.ramp:
            raise UnfitError(
                found="a blend with a ramp of the global batch", expected="steps of one size, which the blend counts",
                fix="Leave batch.ramp out, or write tokens.",
            )  # fmt: skip
        return
    if not run.phases:
        missing = sorted(set(run.sources) - set(counted))
        if missing:
            raise UnfitError(
                found=f"no tokens for {missing[0]}", expected="tokens for every source, or phases",
                fix=f"Add `tokens:` to sources.{missing[0]}, or write `phases:`.",
            )  # fmt: skip
        return
    named = {name for phase in run.phases for name in phase.tokens}
    if counted:
        raise UnfitError(
            found=f"sources.{counted[0]}.tokens beside phases", expected="tokens in the phases only",
            fix="Remove `tokens` from the sources.",
        )  # fmt: skip
    if named != set(run.sources):
        odd = sorted(named ^ set(run.sources))[0]
        unused = odd in run.sources
        raise UnfitError(
            found=f"{odd}, which is {'a source in no phase' if unused else 'no source'}",
            expected=f"phases over the sources {', '.join(sorted(run.sources))}",
            fix="Remove it, or give it tokens in a phase." if unused else "Add it to `sources`, or correct its name.",
        )  # fmt: skip
