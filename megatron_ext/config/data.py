"""The corpora of a run and the phases of their mixture."""

from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, PositiveInt, model_validator
from pydantic.dataclasses import dataclass

from megatron_ext.config.fields import STRICT, AnyPath, UnfitError


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SourceConfig:
    """One corpus of a mixture."""

    corpus: AnyPath
    """Folder of the corpus, as `data tokenize` or `synth` wrote it; of megadocs, the view of `data megadocs`."""
    tokens: PositiveInt | None = None
    """Tokens that the run trains on from this source, repeats included: whole rows of sequence_length. None where the
    run has `phases`, which say it."""
    max_epochs: PositiveInt | None = None
    """Most times that a token may be seen. Synthetic sources: 1. None: as often as `tokens` asks."""
    kind: Literal["windows", "pairs", "megadocs"] = "windows"
    """windows: rows cut from the corpus. pairs: pairs of documents packed into rows, and only d2 is trained. megadocs:
    rows cut from documents in the order of a view."""
    pairs: AnyPath | None = None
    """Folder of the pairs, as `data pairs` wrote it; kind pairs only."""
    across_documents: bool = True
    """Whether a token of a window may attend to earlier documents (of megadocs: to earlier megadocs; their members see
    one another always). If not, positions start anew in each. Pairs never see one another."""
    order: Literal["shuffled", "in_order"] = "shuffled"
    """In which order windows are read. in_order: as they stand in the corpus or view, from another place on in each
    epoch, so that the windows of a long megadoc come one after the other."""
    members: Literal["fixed", "permuted"] = "fixed"
    """permuted: the synthetic members of each stitched megadoc change their order from epoch to epoch."""

    @model_validator(mode="after")
    def _options_go_with_their_kind(self) -> Self:
        ordered_pairs = self.kind == "pairs" and self.order != "shuffled"
        if ordered_pairs or (self.kind != "megadocs" and self.members != "fixed"):
            raise UnfitError(
                found=f"kind {self.kind} with order {self.order} and members {self.members}",
                expected="permuted members for megadocs only, in_order for anything but pairs",
                fix="Leave that key out, or set `kind: megadocs`.",
            )
        return self

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
class PhaseConfig:
    """A stretch of the run with one mixture. A new mixture is a new phase after those that were trained."""

    tokens: Annotated[dict[str, PositiveInt], Field(min_length=1)]
    """Source -> tokens of it in this phase, repeats included: whole rows. Their ratio is the mixture."""
    stop: PositiveInt | None = None
    """Tokens after which the phase ends although its sources have more: where a running mixture was changed. What a
    source did not give is not lost: the next phase goes on there."""

    @property
    def length(self) -> int:
        """Tokens of the phase."""
        asked = sum(self.tokens.values())
        return asked if self.stop is None else min(self.stop, asked)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BlendConfig:
    """A real stream, read so many times, beside synthetic ones that get a share of all steps."""

    real: str = "real"
    """The source that the epochs are of."""
    epochs: PositiveInt
    """How often the real source is read."""
    steps_per_epoch: PositiveInt
    """Steps in which it is read once: the whole steps that its corpus holds; checked against it before the run."""
    weights: Annotated[dict[str, Annotated[FiniteFloat, Field(gt=0, lt=1)]], Field(min_length=1)]
    """Synthetic source -> its share of the run."""

    @model_validator(mode="after")
    def _weights_leave_room(self) -> Self:
        if self.real_share <= 0 or self.real in self.weights:
            raise UnfitError(
                found=f"weights {self.weights} beside the real source {self.real}",
                expected="synthetic sources whose weights sum up to less than 1",
                fix="Leave the real source out of `weights`, and some share to it.",
            )
        return self

    @property
    def real_share(self) -> Fraction:
        """1 - w."""
        # Of the number as it is written: 1 - 0.9 in binary would cost a step.
        return 1 - sum((Fraction(str(weight)) for weight in self.weights.values()), Fraction(0))

    @property
    def steps(self) -> int:
        """Of the run. Source: megadocs, total steps = int(steps_per_epoch * E / (1 - w))."""
        return int(self.steps_per_epoch * self.epochs / self.real_share)

    def tokens(self, *, global_batch: int, sequence_length: int) -> dict[str, int]:
        """Source -> tokens of the run: whole rows, which sum up to whole steps."""
        rows = self.steps * global_batch
        shares = {name: int(rows * Fraction(str(weight))) for name, weight in sorted(self.weights.items())}
        return {
            name: count * sequence_length for name, count in {self.real: rows - sum(shares.values()), **shares}.items()
        }
