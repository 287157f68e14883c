"""The `synth` commands: a corpus to new documents with a language model. Parse, call one function, print.

A command is a function that makes a recipe of a few options. `_synthesize` has the options that all of them share, and
runs the recipe.
"""

from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megatron_ext.cli import synth_options as option
from megatron_ext.cli.options import AsJson, Output, Replace
from megatron_ext.cli.output import Progress, print_result, say

if TYPE_CHECKING:
    from data_tools.synthesis.engines.choice import EngineChoice
    from data_tools.synthesis.recipe import Prompt, Recipe

app = typer.Typer(help="Write new documents from old ones.", no_args_is_help=True, rich_markup_mode=None)


def _synthesize(
    recipe: "Recipe",
    corpus: option.Corpus,
    output: Output,
    model: option.Model,
    engine: option.Engine = option.EngineName.transformers,
    url: option.Url = "",
    batch: option.Batch = None,
    concurrency: option.Concurrency = None,
    timeout: option.Timeout = 600.0,
    patience: option.Patience = 900.0,
    tensor_parallel: option.TensorParallel = 1,
    memory: option.Memory = 0.9,
    context: option.Context = None,
    temperature: option.Temperature = None,
    top_p: option.TopP = None,
    max_new_tokens: option.MaxNewTokens = None,
    documents: option.Count = None,
    budget_tokens: option.BudgetTokens = None,
    skip_filter: option.SkipFilter = None,
    add_filter: option.AddFilter = None,
    seed: option.Seed = 1234,
    ledger: option.LedgerFolder = None,
    workers: option.Engines = 1,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    from data_tools.synthesis.filters import Filters
    from data_tools.synthesis.run import synthesize
    from data_tools.workers import team

    recipe = _sampled(recipe, temperature=temperature, top_p=top_p, max_tokens=max_new_tokens)
    filters = Filters.of(recipe.name, skip=skip_filter or (), add=add_filter or ())
    with team(workers) as crew, Progress("synthesis", unit="seeds" if crew.alone else "shares") as progress:
        chosen = _engine(
            model, corpus, kind=engine, url=url, batch=batch, concurrency=concurrency, timeout=timeout,
            patience=patience, tensor_parallel=tensor_parallel, memory=memory, context=context,
        )  # fmt: skip
        result = synthesize(
            corpus, output, recipe=recipe, engine=chosen, filters=filters, documents=documents,
            budget_tokens=budget_tokens, seed=seed, ledger=ledger, replace=replace, crew=crew, progress=progress.update,
        )  # fmt: skip
    print_result(result, as_json=as_json)


recipe_command = option.with_options_of(_synthesize)


@app.command()
@recipe_command
def sbp(variants: option.Variants = None) -> "Recipe":
    """Sample d2 ~ p(d2 | d1) from a synthesizer tuned on pairs; d1 is drawn from the corpus, with replacement.

    \b
    Example: megatron-ext synth sbp runs/demo/corpus_subset work/sbp --model runs/demo/synthesizer --documents 64
    Example: megatron-ext synth sbp corpora/real work/sbp --model runs/synthesizer --engine vllm --budget-tokens 75e9
    """
    return _recipe("sbp", variants=variants)


@app.command()
@recipe_command
def rephrase(
    style: Annotated[option.Style | None, typer.Option(help="Packaged prompt. Left out: wikipedia.")] = None,
    template: option.Template = None,
    variants: option.Variants = None,
) -> "Recipe":
    """Write each document again in another style.

    \b
    Example: megatron-ext synth rephrase work/corpus work/textbook --model models/instruct --style textbook
    Example: megatron-ext synth rephrase work/corpus work/mine --template my_style.txt --variants 4 --engine server \\
               --url http://gpu7:8000/v1 --model meta-llama/Llama-3.1-8B-Instruct
    """
    from data_tools.errors import InputError

    if style and template:
        raise InputError(
            where="--style and --template", found="both", expected="one: a style is a template",
            fix=f"Write the packaged one out with `synth templates rephrase-{style.value}`, and edit it.",
        )  # fmt: skip
    packaged = f"rephrase-{style.value}" if style else None
    return _recipe("rephrase", template=_prompt(template or packaged), variants=variants)


@app.command("latent-thoughts")
@recipe_command
def latent_thoughts(
    thoughts: Annotated[int | None, typer.Option(min=1, help="Places in each document. Left out: 4.")] = None,
    before: Annotated[int | None, typer.Option(min=1, help="Tokens before it that are shown. Left out: 1024.")] = None,
    after: Annotated[int | None, typer.Option(min=1, help="Tokens after it that are shown. Left out: 256.")] = None,
    open_tag: Annotated[str | None, typer.Option(help="Before each thought. Left out: <thought>.")] = None,
    close_tag: Annotated[str | None, typer.Option(help="After each thought. Left out: </thought>.")] = None,
    template: option.Template = None,
) -> "Recipe":
    """Write the thoughts that lead from each part of a document to the next, kept with their places in it.

    \b
    Example: megatron-ext synth latent-thoughts work/corpus work/thoughts --model models/instruct --thoughts 8
    """
    return _recipe(
        "latent-thoughts", thoughts=thoughts, before=before, after=after, open_tag=open_tag, close_tag=close_tag,
        template=_prompt(template),
    )  # fmt: skip


@app.command("active-reading")
@recipe_command
def active_reading(
    task: Annotated[str | None, typer.Option(help="What is to be done with the knowledge. Left out: any task.")] = None,
    most: Annotated[int | None, typer.Option(min=1, help="Strategies applied to a document. Left out: all.")] = None,
    plan: option.Plan = None,
    plan_tokens: option.PlanTokens = None,
    template: option.Template = None,
) -> "Recipe":
    """Ask how each document could be learnt, then write one document for each of these strategies.

    \b
    Example: megatron-ext synth active-reading work/corpus work/read --model models/instruct
    Example: megatron-ext synth active-reading work/corpus work/trivia --model models/instruct --task "answer trivia"
    """
    recipe = _recipe("active-reading", task=task, most=most, plan=_prompt(plan), template=_prompt(template))
    return _planned(recipe, plan_tokens)


@app.command()
@recipe_command
def qa(
    questions: option.Questions = None,
    variants: option.Variants = None,
    template: option.Template = None,
    layout: Annotated[
        str | None, typer.Option(metavar="FILE", help="Template of a document: $question, $answer, $explanation.")
    ] = None,
) -> "Recipe":
    """Write questions on each document, with answers and explanations.

    \b
    Example: megatron-ext synth qa work/corpus work/qa --model models/instruct --questions 8
    """
    return _recipe(
        "qa", questions=questions, variants=variants, template=_prompt(template), layout=_prompt(layout)
    )  # fmt: skip


@app.command()
@recipe_command
def focal(
    questions: option.Questions = None,
    plan: option.Plan = None,
    plan_tokens: option.PlanTokens = None,
    template: option.Template = None,
) -> "Recipe":
    """Ask questions on each document, then write a document for each that keeps it in view.

    \b
    Example: megatron-ext synth focal work/corpus work/focal --model models/instruct --questions 8
    """
    return _planned(_recipe("focal", questions=questions, plan=_prompt(plan), template=_prompt(template)), plan_tokens)


@app.command()
@recipe_command
def paraphrase(template: option.Template = None, variants: option.Variants = None) -> "Recipe":
    """Write each document in other words: a baseline.

    \b
    Example: megatron-ext synth paraphrase work/corpus work/paraphrased --model models/instruct --variants 4
    """
    return _recipe("paraphrase", template=_prompt(template), variants=variants)


@app.command()
@option.with_options_of(_synthesize, fixed=dict.fromkeys(option.ENGINE_OPTIONS))
def repeat(variants: option.Variants = None) -> "Recipe":
    """Copy each document: a baseline that needs no model.

    \b
    Example: megatron-ext synth repeat work/corpus work/repeated --variants 4
    """
    return _recipe("repeat", variants=variants)


@app.command()
@recipe_command
def custom(
    file: Annotated[Path, typer.Argument(help="Python file with a recipe: see docs/synthesis.md.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Setting of the recipe. May be repeated.")
    ] = None,
) -> "Recipe":
    """Run a recipe of your own.

    \b
    Example: megatron-ext synth custom my_recipe.py work/corpus work/mine --model models/instruct --set questions=3
    """
    from data_tools.errors import InputError
    from data_tools.synthesis.recipes import configured, load

    pairs = [word.partition("=") for word in set_ or ()]
    if wrong := next((key for key, sign, _ in pairs if not sign), None):
        raise InputError(where="--set", found=repr(wrong), expected="KEY=VALUE", fix=f"Write --set {wrong}=VALUE.")
    return configured(load(file), {key: value for key, _, value in pairs})


@app.command()
def templates(
    name: Annotated[str | None, typer.Argument(help="The one to write out. Left out: list them.")] = None,
    file: Annotated[Path | None, typer.Argument(help="File to write. [default: NAME.txt]")] = None,
) -> None:
    """List the packaged prompts, or write one out, to be edited and given with --template.

    \b
    Example: megatron-ext synth templates
    Example: megatron-ext synth templates rephrase-wikipedia my_style.txt
    """
    from data_tools.errors import InputError
    from data_tools.files import write_whole
    from data_tools.synthesis.recipe import PROMPTS, Prompt

    known = {path.stem: path for path in sorted(PROMPTS.glob("*.txt"))}
    if name is None:
        for each, path in known.items():
            say(f"{each}: " + ", ".join(f"${placeholder}" for placeholder in Prompt.of(path).names))
        return
    if name not in known:
        raise InputError(where="template", found=repr(name), expected=", ".join(known), fix="Name one of these.")
    target = file or Path(f"{name}.txt")
    if target.exists():
        raise InputError(
            where=str(target), found="a file that is there already", expected="a path that is free",
            fix="Name another file.",
        )  # fmt: skip
    write_whole(target, known[name].read_bytes())
    say(f"Written: {target}")


def _recipe(name: str, **settings: Any) -> "Recipe":
    """The recipe of a name; what is None is left to it."""
    from data_tools.synthesis.recipes import RECIPES

    return RECIPES[name](**{key: value for key, value in settings.items() if value is not None})


def _planned(recipe: "Recipe", tokens: int | None) -> "Recipe":
    """The recipe, with another limit of its first step where that is asked for."""
    if tokens is None:
        return recipe
    planning = recipe.planning  # type: ignore[attr-defined]
    return replaced(recipe, planning=replaced(planning, max_tokens=tokens))  # type: ignore[type-var]


def _prompt(template: str | None) -> "Prompt | None":
    from data_tools.synthesis.recipe import Prompt

    return None if template is None else Prompt.of(template)


def _sampled(recipe: "Recipe", **given: float | None) -> "Recipe":
    """The recipe, with another sampling where that is asked for; a limit of tokens is one of its documents alone."""
    from data_tools.errors import InputError
    from data_tools.synthesis.requests import Sampling

    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        return recipe
    sampling = getattr(recipe, "sampling", None)
    if not isinstance(sampling, Sampling):
        raise InputError(
            where=f"recipe {recipe.name}", found="no setting `sampling`", expected="one, for " + ", ".join(changes),
            fix="Leave these options out, or give the recipe a field `sampling: Sampling`.",
        )  # fmt: skip
    asked = {"sampling": replaced(sampling, **changes)}
    if isinstance(planning := getattr(recipe, "planning", None), Sampling):
        drawn = {name: value for name, value in changes.items() if name != "max_tokens"}
        asked["planning"] = replaced(planning, **drawn)
    return replaced(recipe, **asked)  # type: ignore[type-var]


def _engine(model: str | None, corpus: Path, *, kind: option.EngineName, **settings: Any) -> "EngineChoice":
    from data_tools.synthesis.engines.no_model import NoModel
    from megatron_ext.cli.synthesizer import engine_of

    return NoModel() if model is None else engine_of(model, corpus, kind=kind.value, **settings)
