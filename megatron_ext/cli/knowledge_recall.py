"""The `knowledge recall` command: questions to models, with documents at hand and without. Parse, call, print.

`recall` has what decides the questions and how they are asked; `_carry_out` the options of every engine, which are
those of the `synth` commands.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megatron_ext.cli import synth_options as option
from megatron_ext.cli.options import Replace
from megatron_ext.cli.output import Progress, print_result, print_table, say

if TYPE_CHECKING:
    from data_tools.recall.prompting import Templates
    from data_tools.recall.questions import QuestionSet
    from data_tools.recall.retrieval import Retrieval
    from data_tools.recall.run import Asking

Models = Annotated[
    list[str],
    typer.Option(
        metavar="[NAME=]MODEL",
        help="A Hugging Face folder; a run, or one of its checkpoints; or a server's name of its model. Repeatable.",
    ),
]
Tokens = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=NUMBER",
        help="Synthetic tokens that a model saw: 75e9, say. Known of runs of ours. May be repeated.",
    ),
]
JudgeModel = Annotated[str | None, typer.Option(help="Let this model judge the answers, too: a folder or a name.")]
JudgeUrl = Annotated[str, typer.Option(help="Of the server that has it; left out, the folder is loaded here.")]
Rag = Annotated[Path | None, typer.Option(metavar="CORPUS", help="Ask with the nearest documents of this, too.")]
RESERVED = ("ledger", "vectors")
TemplateFile = Annotated[str | None, typer.Option(metavar="FILE", help="Prompt of your own: see `synth templates`.")]


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """What every model is asked, and how."""

    output: Path
    questions: "QuestionSet"
    asking: "Asking"
    retrieval: "Retrieval | None"
    judge_model: str | None
    judge_url: str
    tokens: dict[str, int]
    """Model -> synthetic tokens, as far as the user says."""


def _carry_out(
    inquiry: Inquiry,
    model: Models,
    engine: option.Engine = option.EngineName.transformers,
    url: option.Url = "",
    batch: option.Batch = None,
    concurrency: option.Concurrency = None,
    timeout: option.Timeout = 600.0,
    patience: option.Patience = 900.0,
    tensor_parallel: option.TensorParallel = 1,
    memory: option.Memory = 0.9,
    context: option.Context = None,
    ledger: Annotated[Path | None, typer.Option(help="Folder of all answers. [default: OUTPUT/ledger]")] = None,
    replace: Replace = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for a program.")] = False,
) -> None:
    from data_tools.recall.run import Judge
    from data_tools.recall.run import recall as ask
    from data_tools.synthesis.engines.choice import EngineChoice
    from megatron_ext.knowledge.recall_curve import collect, write_json
    from megatron_ext.knowledge.recall_page import write_page

    shared = {"batch": batch, "concurrency": concurrency, "timeout": timeout, "patience": patience}
    judge = None
    if inquiry.judge_model:
        kind = "server" if inquiry.judge_url else "transformers"
        judge = Judge(engine=EngineChoice(model=inquiry.judge_model, kind=kind, url=inquiry.judge_url, **shared))
    models = _named(model)
    seen = _tokens_seen(models, inquiry.tokens)
    large = {"tensor_parallel": tensor_parallel, "memory": memory, "context": context}
    for name, given in models.items():
        folder = given if engine is option.EngineName.server else _folder_of(given)
        choice = EngineChoice(model=folder, kind=engine.value, url=url, **shared, **large)
        with Progress(name, unit="answers") as progress:
            ask(
                inquiry.questions, inquiry.output / name, engine=choice, asking=inquiry.asking,
                ledger=ledger or inquiry.output / "ledger", retrieval=inquiry.retrieval, judge=judge, replace=replace,
                progress=progress.update,
            )  # fmt: skip
    found = collect(inquiry.output, newest=list(models)[-1], tokens=seen)
    write_json(inquiry.output, found)
    page = write_page(inquiry.output, found)
    if as_json:
        print_result(found, as_json=True)
    else:
        _print(found)
        say(f"Page: {page}")


@option.with_options_of(_carry_out)
def recall(
    questions: Annotated[Path, typer.Argument(help="JSON lines (also .gz, .zst), or a corpus of `synth qa`.")],
    output: Annotated[
        Path, typer.Argument(help="Folder with one folder for each model; called again, it adds others.")
    ],
    tokens: Tokens = None,
    shots: Annotated[int, typer.Option(min=0, help="Examples: the first questions, which aren't asked.")] = 5,
    shots_from: Annotated[Path | None, typer.Option(help="File to take the examples from.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Questions to ask, drawn from all.")] = None,
    seed: Annotated[int, typer.Option(help="Chooses them.")] = 1234,
    question_key: Annotated[str | None, typer.Option(help="Key of a question. Left out: the usual ones.")] = None,
    answer_key: Annotated[str | None, typer.Option(help="Key of its answers; `a.b` is b inside of a.")] = None,
    rules: Annotated[str, typer.Option(help="How answers are compared: squad or triviaqa.")] = "squad",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Of an answer.")] = 32,
    template: TemplateFile = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Let the model continue the text, encoded by this: for base models on a server.")
    ] = None,
    rag: Rag = None,
    vectors: Annotated[Path | None, typer.Option(help="Of the corpus. [default: OUTPUT/vectors, made there]")] = None,
    embed_server: Annotated[str | None, typer.Option(help="Address of the server that embeds the questions.")] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Documents for a question.")] = 5,
    passage_tokens: Annotated[int, typer.Option(min=1, help="Of each document, from its beginning.")] = 512,
    rag_template: TemplateFile = None,
    judge_model: JudgeModel = None,
    judge_url: JudgeUrl = "",
    judge_template: TemplateFile = None,
) -> Inquiry:
    """Ask models questions and score their answers: closed-book, and with documents at hand.

    \b
    Example: megatron-ext knowledge recall trivia.jsonl runs/recall --model runs/mixed --limit 1000
    Example: megatron-ext knowledge recall trivia.jsonl runs/recall --model base=models/base --model runs/mixed \\
               --rag corpora/wiki --judge-model judge --judge-url http://gpu7:8000/v1
    """
    from data_tools.recall.questions import Layout, read_set
    from data_tools.recall.run import Asking
    from data_tools.synthesis.requests import Sampling

    layout = Layout(question=question_key, answer=answer_key)
    templates = _templates(closed_book=template, rag=rag_template, judge=judge_template)
    sampling = Sampling(temperature=0.0, max_tokens=max_new_tokens)
    found = None if rag is None else _retrieval(rag, vectors or output / "vectors", embed_server, top_k, passage_tokens)
    return Inquiry(
        output=output, judge_model=judge_model, judge_url=judge_url, tokens=_numbers(tokens or []), retrieval=found,
        asking=Asking(templates=templates, sampling=sampling, rules=rules, tokenizer=tokenizer),
        questions=read_set(questions, layout=layout, shots=shots, shots_from=shots_from, limit=limit, seed=seed),
    )  # fmt: skip


def _templates(**files: str | None) -> "Templates":
    from data_tools.recall.prompting import Templates
    from data_tools.synthesis.recipe import Prompt

    return Templates(**{name: Prompt.of(file) for name, file in files.items() if file})


def _retrieval(corpus: Path, vectors: Path, server: str | None, top_k: int, passage_tokens: int) -> "Retrieval":
    """Where documents are looked for; vectors that aren't there are made, as `data embed` makes them."""
    from data_tools.corpus.manifest import is_finished
    from data_tools.recall.retrieval import Retrieval
    from data_tools.steps.embed import embed

    if not is_finished(vectors):
        with Progress("embedding", unit="documents") as progress:
            embed(corpus, vectors, progress=progress.update)
    return Retrieval(corpus=corpus, vectors=vectors, server=server, top_k=top_k, passage_tokens=passage_tokens)


def _named(models: list[str]) -> dict[str, str]:
    """Name -> model, of NAME=MODEL or MODEL alone; a run's checkpoint is named after both."""
    from data_tools.errors import InputError
    from megatron_ext.checkpoint.folders import is_checkpoint

    named: dict[str, str] = {}
    for word in models:
        name, sign, model = word.rpartition("=")
        path = Path(model)
        if not sign:
            name = f"{path.parent.parent.resolve().name}-{path.name}" if is_checkpoint(path) else path.resolve().name
        if name in named or not name or "/" in name or name in RESERVED:
            raise InputError(
                where=f"--model {word}", found=f"the name '{name}'",
                expected="one that no other model, ledger or vectors have, without a slash",
                fix="Give the model a name of its own: --model NAME=MODEL.",
            )  # fmt: skip
        named[name] = model
    return named


def _numbers(words: list[str]) -> dict[str, int]:
    pairs = (word.rpartition("=") for word in words)
    return {name: option.whole_number(number) for name, _, number in pairs}


def _tokens_seen(models: dict[str, str], said: dict[str, int]) -> dict[str, tuple[int, int] | None]:
    """Model -> (unique, trained) synthetic tokens: what the user says, else what a run's plan says."""
    from data_tools.errors import InputError
    from megatron_ext.knowledge.synthetic_tokens import is_run, tokens_seen

    if unknown := sorted(set(said) - set(models)):
        raise InputError(
            where="--tokens", found=f"the name '{unknown[0]}'", expected="one of " + ", ".join(models),
            fix="Name a model that is asked: --tokens NAME=NUMBER.",
        )  # fmt: skip
    seen: dict[str, tuple[int, int] | None] = {}
    for name, model in models.items():
        if name in said:
            seen[name] = said[name], said[name]
        elif is_run(model):
            found = tokens_seen(Path(model))
            seen[name] = found.unique, found.trained
        else:
            seen[name] = None
    return seen


def _folder_of(model: str) -> str:
    """What an engine reads; a run of ours is exported with its own tokenizer."""
    from megatron_ext.cli.synthesizer import engine_model
    from megatron_ext.knowledge.synthetic_tokens import is_run, tokenizer_of

    return engine_model(model, tokenizer_of(Path(model)) if is_run(model) else Path(model))


def _print(found: dict[str, Any]) -> None:
    from rich.table import Table

    from megatron_ext.knowledge.recall_page import NAMES, interval

    table = Table("model", "asked", "synthetic tokens", "exact match, %", "F1, %", "judged, %")
    for column in table.columns[2:]:
        column.justify = "right"
    for model in found["models"]:
        tokens = model["synthetic_tokens"]
        for way in NAMES:
            if way in model:
                row = model[way]
                judged = interval(row["judged"]) if "judged" in row else "–"
                table.add_row(
                    model["name"], NAMES[way], "–" if tokens is None else f"{tokens:,}", interval(row["exact_match"]),
                    interval(row["f1"]), judged,
                )  # fmt: skip
    print_table(table)
    if found["left_out"]:
        say("Left out, since they were asked otherwise: " + ", ".join(found["left_out"]))
