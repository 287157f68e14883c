"""The `quality` and `concepts` commands: how good a corpus is, and what it shares with its source."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data_tools.errors import EXIT_FAILED
from megatron_ext.cli import synth_options as option
from megatron_ext.cli.options import AsJson, Output, Replace, Workers
from megatron_ext.cli.output import Progress, print_result, print_table, say, shown

if TYPE_CHECKING:
    from data_tools.synthesis.engines.choice import EngineChoice

Source = Annotated[Path | None, typer.Option(help="Corpus that it was made of, for what compares a document with it.")]
Sample = Annotated[int, typer.Option(parser=option.whole_number, metavar="NUMBER", help="Documents to judge.")]
JudgeModel = Annotated[
    str | None,
    typer.Option(help="Model that judges a sample: a Hugging Face folder, a run, or a server's name of its model."),
]
JudgeUrl = Annotated[str, typer.Option(help="Address of the server that has the judge, up to and with its /v1.")]
JudgeEngine = Annotated[
    option.EngineName | None, typer.Option(help="What runs the judge. [default: server with --judge-url]")
]
JudgeBatch = Annotated[
    int | None, typer.Option(min=1, help="Requests that it has at a time. [default: transformers 32, others 256]")
]
class By(StrEnum):
    """How the judge's verdicts come about."""

    answer = "answer"
    likelihood = "likelihood"


JudgeBy = Annotated[
    By,
    typer.Option(
        help="answer: the verdict that it writes. likelihood: the one that it finds likeliest, for a judge too small to"
        " write one that can be read."
    ),
]
Template = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MEASURE=FILE",
        help="Prompt of your own for the judge, such as non_factual=mine.txt; `synth templates` writes one out. May be"
        " repeated.",
    ),
]
Answers = Annotated[
    Path | None, typer.Option(help="Where the judge's answers are kept, for later runs too. [default: OUTPUT.ledger]")
]


def quality(
    corpus: option.Corpus,
    output: Annotated[Path | None, typer.Argument(help="Folder to write. [default: CORPUS.quality]")] = None,
    source: Source = None,
    heldout: Annotated[Path | None, typer.Option(help="Held-out corpus that should share no text with it.")] = None,
    benchmark: Annotated[
        list[Path] | None,
        typer.Option(help="Items of a benchmark: JSON lines, also compressed, or text. May be repeated."),
    ] = None,
    judge_model: JudgeModel = None,
    judge_url: JudgeUrl = "",
    judge_engine: JudgeEngine = None,
    judge_batch: JudgeBatch = None,
    judge_by: JudgeBy = By.answer,
    template: Template = None,
    sample: Sample = 1000,  # type: ignore[assignment]
    duplicate_sample: Annotated[
        int,
        typer.Option(parser=option.whole_number, metavar="NUMBER", help="Documents to look for near-duplicates among."),
    ] = 1_000_000,  # type: ignore[assignment]
    threshold: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Bounds on measures, as YAML: exit status 1 if one is not kept."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses the samples.")] = 1234,
    ledger: Answers = None,
    workers: Workers = 1,
    replace: Replace = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print quality.json for a program.")] = False,
) -> None:
    """Measure a corpus: repetition, near-duplicates, spread, contamination; with a judge, facts and relevance too.

    With --threshold it is a go or no-go: measure a small synthesis before you pay for the big one.

    \b
    Example: megatron-ext quality work/rephrased --source work/corpus --heldout work/heldout --workers 8
    Example: megatron-ext quality work/small --source work/corpus --judge-url http://gpu7:8000/v1 \\
               --judge-model meta-llama/Llama-3.1-8B-Instruct --sample 400 --threshold configs/quality/mideval.yaml
    """
    from data_tools.quality.measuring import Settings
    from data_tools.quality.run import quality as step
    from data_tools.workers import team
    from megatron_ext.config.yaml_file import read_yaml

    thresholds = None if threshold is None else read_yaml(threshold).values or {}
    folder = output or corpus.with_name(corpus.resolve().name + ".quality")
    with team(workers) as crew, Progress("rules", unit="shards") as rules, Progress("judge", unit="documents") as judge:
        settings = Settings(
            source=source, heldout=heldout, benchmarks=tuple(benchmark or ()), sample=sample, seed=seed,
            judge=_judge(corpus, judge_model, judge_engine, judge_url, judge_batch), templates=_pairs(template),
            duplicate_sample=duplicate_sample, judge_by=judge_by.value,
        )  # fmt: skip
        step(
            corpus, folder, settings, thresholds=thresholds, thresholds_file=str(threshold), ledger=ledger,
            replace=replace, crew=crew, progress=rules.update, judging=judge.update,
        )  # fmt: skip
    _show(folder, as_json=as_json)


def concepts(
    corpus: option.Corpus,
    output: Output,
    source: Annotated[Path, typer.Option(help="Corpus that it was made of.")],
    model: Annotated[str, typer.Option(help="Model that is asked: a folder, a run, or a server's name of its model.")],
    url: option.Url = "",
    engine: Annotated[
        option.EngineName | None, typer.Option(help="What runs the model. [default: server with --url]")
    ] = None,
    batch: JudgeBatch = None,
    sample: Annotated[
        int, typer.Option(parser=option.whole_number, metavar="NUMBER", help="Documents to ask about.")
    ] = 1000,  # type: ignore[assignment]
    template: option.Template = None,
    seed: Annotated[int, typer.Option(help="Chooses the sample.")] = 1234,
    ledger: Answers = None,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Ask a model what documents share with their sources: concept, domain, relation; count what it says.

    \b
    Example: megatron-ext concepts work/sbp work/concepts --source work/corpus --model models/instruct --sample 200
    """
    import json

    from data_tools.quality.concepts import FIGURES
    from data_tools.quality.concepts import concepts as step

    with Progress("concepts", unit="documents") as progress:
        asked = _judge(corpus, model, engine, url, batch)
        assert asked is not None, "a model was named"
        result = step(
            corpus, output, source=source, engine=asked, sample=sample, template=template, seed=seed, ledger=ledger,
            replace=replace, progress=progress.update,
        )  # fmt: skip
    if as_json:
        print_result(result, as_json=True)
        return
    figures = json.loads((output / FIGURES).read_text())
    say(f"{figures['read']} of {figures['asked']} answers could be read: {output}/concepts.html")
    for name in ("domains", "relations"):
        _table([name[:-1], "documents", "share", "concepts"], [
            [row["name"], shown(row["count"]), f"{row['share']:.1%}", "; ".join(row["examples"])]
            for row in figures[name]
        ])  # fmt: skip


def _show(folder: Path, *, as_json: bool) -> None:
    """Print what was measured; exits with 1 if it is no go."""
    import json

    from data_tools.quality.page import COLUMNS, FIGURES, PAGE

    report = json.loads((folder / FIGURES).read_text())
    if as_json:
        say(json.dumps(report, indent=1))
    else:
        rows = [
            [name, *_figures(found), *(_percent(report["paper"].get(name, {}).get(column)) for column in COLUMNS)]
            for name, found in report["measures"].items()
        ]
        _table(["measure", "here", "95% interval", "of", *COLUMNS], rows)
        if judge := report["judge"]:
            say(f"Judged by {judge['model']}, by {judge['by']}: {shown(judge['judged'])} documents")
        say(f"Written: {folder / PAGE}")
    verdict = report["verdict"]
    if verdict is None:
        return
    if not as_json:
        say("Go." if verdict["go"] else "\n".join(["No go:", *(f"  {reason}" for reason in verdict["reasons"])]))
    if not verdict["go"]:
        raise typer.Exit(EXIT_FAILED)


def _figures(found: dict[str, Any]) -> list[str]:
    """Value, interval and size of a measure; what is no share of documents has no interval."""
    if "low" not in found:
        return ["-" if found["value"] is None else f"{found['value']:.3f}", "", shown(found["of"])]
    return [_percent(found["value"]), f"{found['low']:.1%} - {found['high']:.1%}", shown(found["of"])]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _table(columns: list[str], rows: list[list[str]]) -> None:
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    print_table(table)


def _judge(
    corpus: Path, model: str | None, engine: option.EngineName | None, url: str, batch: int | None
) -> "EngineChoice | None":
    from data_tools.errors import InputError
    from megatron_ext.cli.synthesizer import engine_of

    if model is None:
        if url or engine:
            raise InputError(
                where="judge", found="a server or an engine, but no model", expected="the model that judges",
                fix="Name it with --judge-model.",
            )  # fmt: skip
        return None
    kind = engine or (option.EngineName.server if url else option.EngineName.transformers)
    settings = {"url": url, "concurrency": batch} if kind is option.EngineName.server else {"batch": batch}
    return engine_of(model, corpus, kind=kind.value, **settings)


def _pairs(words: list[str] | None) -> tuple[tuple[str, str], ...]:
    from data_tools.errors import InputError

    pairs = [word.partition("=") for word in words or ()]
    if wrong := next((measure for measure, sign, _ in pairs if not sign), None):
        raise InputError(
            where="--template", found=repr(wrong), expected="MEASURE=FILE", fix=f"Write --template {wrong}=FILE."
        )
    return tuple((measure, file) for measure, _, file in pairs)
