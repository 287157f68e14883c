"""How an experiment is judged: its synthetic corpus, go or no-go before that is made, and its arms."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator
from pydantic.dataclasses import dataclass

from megatron_ext.config.fields import STRICT, AnyPath, UnfitError


@dataclass(frozen=True, kw_only=True, config=STRICT)
class JudgeConfig:
    """The model that judges a sample of documents: a folder, or a server's."""

    folder: AnyPath | None = None
    """Hugging Face folder, or a run's."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """What runs a folder's model."""
    model: str = ""
    """The server's name of its model."""
    url: str = ""
    """Address of the server, up to and with its /v1."""
    by: Literal["answer", "likelihood"] = "answer"
    """Whether it writes its verdicts, or, too small for that, the likeliest one counts."""
    sample: PositiveInt = 1000
    """Documents to judge."""

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        server = bool(self.model and self.url)
        if (self.folder is None) != server or bool(self.model) != bool(self.url):
            raise UnfitError(
                found=f"folder {self.folder}, model {self.model or 'none'}, url {self.url or 'none'}",
                expected="a folder, or model and url of a server", fix="Give the one or the other.",
            )  # fmt: skip
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class QualityConfig:
    """What is measured of the synthetic corpus, besides the rules."""

    judge: JudgeConfig | None = None
    """Of this corpus, and of the small one before it."""
    benchmarks: tuple[AnyPath, ...] = ()
    """Files of items that the corpus should share no text with."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MidevalConfig:
    """A small synthesis that is measured before the large one is paid for; no go ends the experiment there."""

    documents: PositiveInt
    """Seeds drawn for it."""
    threshold: AnyPath
    """Bounds on measures, as `quality --threshold` takes them."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ArmsEvaluationConfig:
    """What every arm is asked, besides held-out text."""

    tasks: tuple[AnyPath, ...] = ()
    """Task files; each is named after its file."""
    most_items: PositiveInt | None = None
    """Of each task and benchmark, its first so many. None: all."""
    every: PositiveInt | None = None
    """Steps between evaluations of the live model on the tasks. None: only in the end."""
    benchmarks: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Tasks of lm-eval, asked of the exported arms."""
    offline_data: AnyPath | None = None
    """Folder with the data of the benchmarks, in place of Hugging Face's hub."""
