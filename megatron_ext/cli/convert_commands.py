"""The `convert` commands: models in and out of Hugging Face folders. Parse, call, print."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from megatron_ext.cli.output import Progress, print_result

app = typer.Typer(help="Change the format of models.", no_args_is_help=True, rich_markup_mode=None)


class Precision(StrEnum):
    """Of weights in files."""

    bf16 = "bf16"
    fp32 = "fp32"


AnyPrecision = Annotated[
    Precision | None, typer.Option(help="Of the weights written. Left out: as they are, so that none is rounded.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Remove an output made from something else.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the manifest for a program.")]


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(metavar="HF_FOLDER", help="Llama or Qwen3 model in safetensors.")],
    output: Annotated[Path, typer.Argument(help="Folder to write; `init_from` of a run may name it.")],
    precision: AnyPrecision = None,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Read a Hugging Face model, to train it further in any layout.

    \b
    Example: megatron-ext convert import downloads/Llama-3.1-8B-Instruct imports/llama3.1-8b
    """
    from megatron_ext.convert.importing import import_hf

    asked = None if precision is None else precision.value
    with Progress("importing", unit="tensors") as progress:
        manifest = import_hf(folder, output, precision=asked, replace=replace, progress=progress.update)
    print_result(manifest, as_json=as_json)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run, one of its checkpoints, or an imported model.")],
    output: Annotated[Path, typer.Argument(help="Hugging Face folder to write.")],
    tokenizer: Annotated[
        Path | None, typer.Option(help="Folder of the tokenizer, copied along. Left out: the one the run names.")
    ] = None,
    precision: AnyPrecision = None,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Write a checkpoint, by default the newest, for transformers and vLLM, whatever layout it was trained in.

    \b
    Example: megatron-ext convert export runs/demo/arms/sbp work/sbp-hf --tokenizer runs/demo/tokenizer
    """
    from megatron_ext.convert.exporting import export_hf

    asked = None if precision is None else precision.value
    manifest = export_hf(run, output, tokenizer=tokenizer, precision=asked, replace=replace)
    print_result(manifest, as_json=as_json)
