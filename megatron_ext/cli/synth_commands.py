"""The `synth` commands: parse, call one function of data_tools, print. No work is done here."""

from pathlib import Path
from typing import Annotated

import typer

from megatron_ext.cli.output import Progress, print_result

app = typer.Typer(help="Write new documents from old ones.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def sbp(
    corpus: Annotated[Path, typer.Argument(help="Corpus folder to draw seeds from.")],
    output: Annotated[Path, typer.Argument(help="Folder to write.")],
    model: Annotated[Path, typer.Option(help="Synthesizer, as written by `convert export`.")],
    tokenizer: Annotated[Path, typer.Option(help="Tokenizer folder of the corpus.")],
    documents: Annotated[int, typer.Option(min=1, help="Seeds to draw, with replacement; filters keep fewer.")],
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Cut a document that is longer.")] = 4096,
    temperature: Annotated[float, typer.Option(min=0.0, help="Of sampling; 0 takes the likeliest token.")] = 1.0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of sampling.")] = 0.9,
    shingle: Annotated[int, typer.Option(min=1, help="Drop a document that repeats this many words in a row.")] = 13,
    batch: Annotated[int, typer.Option(min=1, help="Documents at a time.")] = 64,
    seed: Annotated[int, typer.Option(help="Of seeds and sampling.")] = 1234,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result for a program.")] = False,
) -> None:
    """Sample d2 ~ p(d2 | d1) from a tuned synthesizer; goes on after the last finished batch.

    \b
    Example: megatron-ext synth sbp runs/demo/corpus_subset work/synthetic --model runs/demo/export \\
               --tokenizer runs/demo/tokenizer --documents 64 --max-new-tokens 200
    """
    from data_tools.synthesis.engines import TransformersEngine
    from data_tools.synthesis.run import synthesize

    with Progress("sampling", unit="documents") as progress:
        manifest = synthesize(
            corpus, tokenizer, lambda: TransformersEngine(model), output, documents=documents, model=model,
            max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, shingle=shingle, batch=batch,
            seed=seed, progress=progress.update,
        )  # fmt: skip
    print_result(manifest, as_json=as_json)


@app.callback()
def _synth() -> None:
    """Keep `sbp` a word of its own: an app with a single command would swallow it."""
