"""The `data` commands that look at what is there: parse, call one function of data_tools, print.
"""

from pathlib import Path
from typing import Annotated

import typer

from megatron_ext.cli.options import AsJson
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
def stats(
    folder: Annotated[Path, typer.Argument(help="Folder written by `data tokenize`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures for a program.")] = False,
) -> None:
    """Count a corpus: documents, tokens, and how long documents are.

    \b
    Example: megatron-ext data stats work/corpus
    """
    from data_tools.corpus import stats as step

    print_result(step.stats(folder), as_json=as_json)
