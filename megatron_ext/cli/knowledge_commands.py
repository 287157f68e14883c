"""The `knowledge` commands: what a run learns of facts, and what it keeps. Each has a file of its own."""

import typer

from megatron_ext.cli import knowledge_intervals, knowledge_recall, knowledge_report

app = typer.Typer(help="Facts: how they are learnt and kept.", no_args_is_help=True, rich_markup_mode=None)
app.command("report")(knowledge_report.report)
app.command("intervals")(knowledge_intervals.intervals)
app.command("recall")(knowledge_recall.recall)
