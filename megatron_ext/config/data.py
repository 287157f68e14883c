"""The corpora of a run and the phases of their mixture."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator
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
