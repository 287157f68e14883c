"""The `data` commands that look at what is there, and mend it: parse, call one function of data_tools, print."""

from pathlib import Path
from typing import Annotated

import typer

from megatron_ext.cli.options import AsJson, Output, Replace
from megatron_ext.cli.output import print_result

app = typer.Typer()


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="Any folder with a manifest.")],
    as_json: AsJson = False,
) -> None:
    """Check every byte of an artifact against its manifest, and a corpus against its index.

    \b
    Example: megatron-ext data verify work/corpus
    """
    from data_tools.corpus import verify as step

    print_result(step.verify(folder), as_json=as_json)


@app.command()
def repair(
    folder: Annotated[Path, typer.Argument(help="Folder of a damaged corpus; it stays as it is.")],
    output: Output,
    eos: Annotated[int | None, typer.Option(min=0, help="Token that ends a document, if no manifest says it.")] = None,
    vocabulary: Annotated[int | None, typer.Option(min=1, help="Tokens are below it, if no manifest says it.")] = None,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Keep what is left of a damaged corpus, and list in lost.jsonl what is not.

    \b
    Example: megatron-ext data repair work/corpus work/corpus_repaired
    """
    from data_tools.corpus import repair as step

    result = step.repair(folder, output, eos=eos, vocabulary=vocabulary, replace=replace)
    print_result(result, as_json=as_json)


@app.command()
def stats(
    folder: Annotated[Path, typer.Argument(help="Folder written by `data tokenize`.")],
    picture: Annotated[Path | None, typer.Option(help="Write a page with the figures drawn to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures for a program.")] = False,
) -> None:
    """Count a corpus: documents, tokens, how long documents are, and where they come from.

    \b
    Example: megatron-ext data stats work/corpus --picture corpus.html
    """
    from data_tools.corpus import stats as step
    from data_tools.corpus.stats_page import page
    from data_tools.files import write_whole

    figures = step.stats(folder)
    if picture is not None:
        write_whole(picture, page(folder.resolve().name, figures))
    if not as_json:  # for people a line for each length, not a table in a table
        figures["lengths"] = {f"{row['from']}-{row['to']}": row["documents"] for row in figures["lengths"]}
    print_result(figures, as_json=as_json)
