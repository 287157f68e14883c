"""The `knowledge` commands: what a model has learnt of facts. Each lives in a file of its own."""

import typer

from megatron_ext.cli import knowledge_recall

app = typer.Typer(help="Facts: how they are learnt, kept and recalled.", no_args_is_help=True, rich_markup_mode=None)
app.command("recall")(knowledge_recall.recall)
