"""Commands of `megatron-ext knowledge`: each in a file of its own."""

import typer

from megatron_ext.cli import knowledge_intervals

app = typer.Typer(help="Facts: how they are learnt and kept.", no_args_is_help=True, rich_markup_mode=None)
app.command("intervals")(knowledge_intervals.intervals)
