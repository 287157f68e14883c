"""Options of the `synth` commands, each declared once, and what puts a command together of them."""

import inspect
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

ENGINE_OPTIONS = (
    "model", "engine", "url", "batch", "concurrency", "timeout", "patience", "tensor_parallel", "memory", "context",
    "temperature", "top_p", "max_new_tokens",
)  # fmt: skip
"""Without a meaning where no model is asked."""


class EngineName(StrEnum):
    """What runs the model."""

    transformers = "transformers"
    vllm = "vllm"
    server = "server"


class Style(StrEnum):
    """Of `synth rephrase`: the templates that come with the program."""

    wikipedia = "wikipedia"
    textbook = "textbook"
    conversational = "conversational"
    terse = "terse"


def whole_number(text: str) -> int:
    """A number from 1 on; 75e9 and 75_000_000_000 are the same."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or number < 1 or number != number.to_integral_value():
        raise typer.BadParameter(f"'{text}' is no whole number from 1 on, such as 5000 or 75e9")
    return int(number)


Corpus = Annotated[Path, typer.Argument(help="Corpus folder; it holds its own tokenizer.")]
Model = Annotated[
    str,
    typer.Option(
        help="A Hugging Face folder; a run, or one of its checkpoints, which is exported by itself; or a server's name"
        " of its model."
    ),
]
Engine = Annotated[EngineName, typer.Option(help="What runs the model.")]
Url = Annotated[str, typer.Option(help="Address of the server, up to and with its /v1.")]
Batch = Annotated[
    int | None, typer.Option(min=1, help="Requests worked on together. [default: transformers 32, vllm 256]")
]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Requests a server has at a time. [default: 256]")]
Timeout = Annotated[float, typer.Option(min=0.0, help="Seconds that a server may take for a request.")]
Patience = Annotated[float, typer.Option(min=0.0, help="Seconds without any answer until a server counts as gone.")]
TensorParallel = Annotated[int, typer.Option(min=1, help="GPUs that vLLM spreads the model over.")]
Memory = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of a GPU's memory that vLLM takes.")]
Context = Annotated[
    int | None, typer.Option(min=1, help="Tokens of prompt and answer that vLLM makes room for. Left out: the model's.")
]
Temperature = Annotated[
    float | None, typer.Option(min=0.0, help="Of sampling; 0 takes the likeliest token. Left out: the recipe's.")
]
TopP = Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Of sampling. Left out: the recipe's.")]
MaxNewTokens = Annotated[int | None, typer.Option(min=1, help="Cut an answer that is longer. Left out: the recipe's.")]
Count = Annotated[
    int | None,
    typer.Option(
        parser=whole_number, metavar="NUMBER",
        help="Documents of the corpus to take, or to draw. Left out: all, or as many as the budget asks for.",
    ),
]  # fmt: skip
BudgetTokens = Annotated[
    int | None,
    typer.Option(parser=whole_number, metavar="NUMBER", help="Stop once so many tokens are kept: 75e9, say."),
]
SkipFilter = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Keep what a filter would drop: empty, truncated, short, repetition, copy, language. May be repeated.",
    ),
]
AddFilter = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Use a filter that the recipe leaves out. May be repeated.")
]
Seed = Annotated[int, typer.Option(help="Chooses the documents and their order.")]
LedgerFolder = Annotated[
    Path | None, typer.Option(help="Where every answer is kept, for this run and later ones. [default: OUTPUT.ledger]")
]
Engines = Annotated[
    int,
    typer.Option(
        min=1,
        help="Processes, each with an engine of its own; under mpiexec or srun the ranks work, in a Slurm array its"
        " tasks.",
    ),
]
Template = Annotated[
    str | None, typer.Option(metavar="FILE", help="Prompt of your own: `synth templates` writes one out to begin with.")
]
Plan = Annotated[str | None, typer.Option(metavar="FILE", help="Prompt of your own for the first of the two steps.")]
PlanTokens = Annotated[
    int | None, typer.Option(min=1, help="Cut an answer of the first step that is longer. Left out: the recipe's.")
]
Questions = Annotated[int | None, typer.Option(min=1, help="Asked for of each document. Left out: 8.")]
Variants = Annotated[int | None, typer.Option(min=1, help="Answers for each document. Left out: 1.")]


def with_options_of(
    run: Callable[..., None], *, fixed: Mapping[str, Any] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Make a command of a function that returns a recipe.

    The command takes the function's own arguments, then those of `run` but the first, to which the recipe goes.

    Args:
        run: run(recipe, **options).
        fixed: options of `run` that the command doesn't have, with the values that they get.
    """
    fixed = fixed or {}
    _, *shared = inspect.signature(run).parameters.values()

    def decorate(recipe_of: Callable[..., Any]) -> Callable[..., None]:
        own = list(inspect.signature(recipe_of).parameters.values())

        @wraps(recipe_of)
        def command(**given: Any) -> None:
            recipe = recipe_of(**{argument.name: given.pop(argument.name) for argument in own})
            run(recipe, **fixed, **given)

        taken = [*own, *(argument for argument in shared if argument.name not in fixed)]
        arguments = [argument.replace(kind=inspect.Parameter.KEYWORD_ONLY) for argument in taken]
        command.__signature__ = inspect.Signature(arguments)  # type: ignore[attr-defined]
        command.__annotations__ = {argument.name: argument.annotation for argument in arguments}
        return command

    return decorate
