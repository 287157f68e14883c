"""The `data` commands that make corpora out of files: parse, call one function of data_tools, print.

Every one writes a folder with a manifest. Called again with the same inputs and settings it finds its output finished
and prints the same counts; with others it refuses, unless `--replace` is given.
"""

from pathlib import Path
from typing import Annotated

import typer

from megatron_ext.cli.options import AsJson, Documents, Output, Replace
from megatron_ext.cli.output import print_result

app = typer.Typer(help="Make corpora out of documents.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def clean(
    documents: Documents,
    output: Output,
    max_words: Annotated[int, typer.Option(min=1, help="Drop documents of more words.")] = 4096,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Normalise documents and drop the empty, the overlong and exact duplicates, each with its reason counted.

    \b
    Example: megatron-ext data clean raw/*.jsonl.zst work/clean
    """
    from data_tools.steps import clean as step

    print_result(step.clean(documents, output, max_words=max_words, replace=replace), as_json=as_json)


@app.command()
def split(
    cleaned: Annotated[Path, typer.Argument(help="Folder written by `data clean`.")],
    output: Output,
    heldout_share: Annotated[float, typer.Option(help="Share of the pages that nothing trains on.")] = 0.02,
    subset_share: Annotated[float, typer.Option(help="Share of the training pages that make the subset.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Draws the pages.")] = 1234,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Hold out pages, and choose the subset that the baseline trains on.

    \b
    Example: megatron-ext data split work/clean work/split --heldout-share 0.02 --subset-share 0.05
    """
    from data_tools.steps import split as step

    result = step.split(
        cleaned, output, heldout_share=heldout_share, subset_share=subset_share, seed=seed, replace=replace
    )
    print_result(result, as_json=as_json)


@app.command()
def tokenizer(
    documents: Documents,
    output: Output,
    vocabulary: Annotated[int, typer.Option(min=1, help="Entries of the tokenizer.")] = 8192,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Train a SentencePiece BPE that can write any text, unknown characters as bytes.

    \b
    Example: megatron-ext data tokenizer work/split/train.jsonl.zst work/tokenizer --vocabulary 8192
    """
    from data_tools.text.tokenizer import train_tokenizer

    print_result(train_tokenizer(documents, output, vocabulary=vocabulary, replace=replace), as_json=as_json)


@app.command()
def tokenize(
    documents: Documents,
    output: Output,
    tokenizer: Annotated[Path, typer.Option(help="Folder written by `data tokenizer`.")],
    max_tokens: Annotated[int, typer.Option(min=1, help="Drop documents of more tokens.")] = 4096,
    kind: Annotated[str, typer.Option(help="What the documents are: real, synthetic, rephrase, ...")] = "real",
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Write an indexed corpus: Megatron's .bin and .idx, with the origin of every document beside them.

    \b
    Example: megatron-ext data tokenize work/split/subset.jsonl.zst work/corpus --tokenizer work/tokenizer
    """
    from data_tools.steps import tokenize as step

    result = step.tokenize(documents, tokenizer, output, max_tokens=max_tokens, kind=kind, replace=replace)
    print_result(result, as_json=as_json)
