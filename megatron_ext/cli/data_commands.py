"""The `data` commands that make corpora out of files: parse, call one function of data_tools, print.

Every one writes a folder with a manifest. Called again with the same inputs and settings it finds its output finished
and prints the same counts; with others it refuses, unless `--replace` is given.
"""

from pathlib import Path
from typing import Annotated

import typer

from megatron_ext.cli.options import (
    AsJson,
    Documents,
    IdKey,
    LicenceKey,
    MaxBadShare,
    Output,
    Replace,
    SourceKey,
    TextKey,
    Workers,
)
from megatron_ext.cli.output import Progress, print_result

app = typer.Typer(help="Make corpora out of documents.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def clean(
    documents: Documents,
    output: Output,
    max_words: Annotated[int, typer.Option(min=1, help="Drop documents of more words.")] = 4096,
    skip_rule: Annotated[
        list[str] | None,
        typer.Option(help="Leave out a rule: unicode, long_urls, line_breaks, too_long or duplicate. May be repeated."),
    ] = None,
    text_key: TextKey = "text",
    id_key: IdKey = "id",
    source_key: SourceKey = "source",
    licence_key: LicenceKey = "licence",
    max_bad_share: MaxBadShare = 0.001,
    workers: Workers = 1,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Normalise documents and drop the empty, the overlong and exact duplicates, each with its reason counted.

    \b
    Example: megatron-ext data clean raw/ 'more/*.parquet' work/clean --workers 8
    """
    from data_tools.steps import clean as step
    from data_tools.text.readers import Fields
    from data_tools.workers import team

    fields = Fields(text=text_key, id=id_key, source=source_key, licence=licence_key)
    with team(workers) as crew, Progress("cleaning", unit="shards") as progress:
        result = step.clean(
            documents, output, max_words=max_words, skip_rules=skip_rule or (), fields=fields,
            max_bad_share=max_bad_share, replace=replace, crew=crew, progress=progress.update,
        )  # fmt: skip
    print_result(result, as_json=as_json)


@app.command()
def dedup(
    documents: Documents,
    output: Output,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Jaccard similarity from which on two documents are duplicates.")
    ] = 0.8,
    ngram: Annotated[int, typer.Option(min=1, help="Words in a row that documents are compared by.")] = 5,
    exact: Annotated[bool, typer.Option("--exact", help="Drop only documents of the same words.")] = False,
    text_key: TextKey = "text",
    id_key: IdKey = "id",
    source_key: SourceKey = "source",
    licence_key: LicenceKey = "licence",
    max_bad_share: MaxBadShare = 0.001,
    workers: Workers = 1,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Keep the first of each cluster of near-duplicates, and report the clusters.

    \b
    Example: megatron-ext data dedup work/clean work/dedup --threshold 0.8 --workers 8
    """
    from data_tools.steps import dedup as step
    from data_tools.text.readers import Fields
    from data_tools.workers import team

    fields = Fields(text=text_key, id=id_key, source=source_key, licence=licence_key)
    with team(workers) as crew, Progress("dedup", unit="shards") as progress:
        result = step.dedup(
            documents, output, threshold=threshold, ngram=ngram, exact=exact, fields=fields,
            max_bad_share=max_bad_share, replace=replace, crew=crew, progress=progress.update,
        )  # fmt: skip
    print_result(result, as_json=as_json)


@app.command()
def split(
    cleaned: Annotated[Path, typer.Argument(help="Folder written by `data clean` or `data dedup`.")],
    output: Output,
    heldout_share: Annotated[float, typer.Option(help="Share of the pages that nothing trains on.")] = 0.02,
    subset_share: Annotated[float, typer.Option(help="Share of the training pages that make the subset.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Draws the pages.")] = 1234,
    workers: Workers = 1,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Hold out pages, and choose the subset that the baseline trains on.

    \b
    Example: megatron-ext data split work/clean work/split --heldout-share 0.02 --subset-share 0.05
    """
    from data_tools.steps import split as step
    from data_tools.workers import team

    with team(workers) as crew, Progress("splitting", unit="shards") as progress:
        result = step.split(
            cleaned, output, heldout_share=heldout_share, subset_share=subset_share, seed=seed, replace=replace,
            crew=crew, progress=progress.update,
        )  # fmt: skip
    print_result(result, as_json=as_json)


@app.command()
def tokenizer(
    documents: Documents,
    output: Output,
    vocabulary: Annotated[int, typer.Option(min=1, help="Entries of the tokenizer.")] = 49_152,
    kind: Annotated[str, typer.Option(help="sentencepiece, or byte-level: a tokenizer.json.")] = "sentencepiece",
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Train on this share of the documents.")] = 1.0,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Train a BPE that can write any text.

    \b
    Example: megatron-ext data tokenizer work/split/train work/tokenizer --vocabulary 8192
    """
    from data_tools.text.training import train_tokenizer

    result = train_tokenizer(documents, output, vocabulary=vocabulary, kind=kind, share=share, replace=replace)
    print_result(result, as_json=as_json)


@app.command()
def tokenize(
    documents: Documents,
    output: Output,
    tokenizer: Annotated[Path, typer.Option(help="Folder of a tokenizer, its tokenizer.model or tokenizer.json.")],
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of a document.")] = 4096,
    too_long: Annotated[str, typer.Option(help="What becomes of longer ones: drop or split.")] = "drop",
    kind: Annotated[str, typer.Option(help="What the documents are: real, synthetic, rephrase, ...")] = "real",
    eos: Annotated[str | None, typer.Option(help="End-of-document token, if a tokenizer.json doesn't say it.")] = None,
    backend: Annotated[str, typer.Option(help="auto, gigatoken or reference: the same ids.")] = "auto",
    text_key: TextKey = "text",
    id_key: IdKey = "id",
    max_bad_share: MaxBadShare = 0.001,
    allow_repeated_names: Annotated[
        bool, typer.Option("--allow-repeated-names", help="Count documents of one name, don't refuse them.")
    ] = False,
    workers: Workers = 1,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Write an indexed corpus: Megatron's .bin and .idx, with the origin of every document beside them.

    \b
    Example: megatron-ext data tokenize work/split/subset work/corpus --tokenizer work/tokenizer
    """
    from data_tools.steps.encode import Choice, loaded
    from data_tools.workers import team

    loaded(Choice.of(tokenizer, eos=eos, backend=backend, threads=workers == 1))  # pools are forked with it
    with team(workers) as crew, Progress("tokenizing", unit="shards") as progress:
        from data_tools.steps import tokenize as step
        from data_tools.text.readers import Fields

        result = step.tokenize(
            documents, tokenizer, output, max_tokens=max_tokens, too_long=too_long, kind=kind, eos=eos, backend=backend,
            fields=Fields(text=text_key, id=id_key), max_bad_share=max_bad_share,
            allow_repeated_names=allow_repeated_names, replace=replace, crew=crew, progress=progress.update,
        )  # fmt: skip
    print_result(result, as_json=as_json)
