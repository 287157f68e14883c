"""The dictionary of `collect` as a page for the browser and as Markdown, with the same sentences and tables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from megatron_ext.report import tables
from megatron_ext.report.answer import answer
from megatron_ext.report.figures import figures, live_metrics
from megatron_ext.report.numbers import count
from megatron_ext.report.rendering import rendered

HERE = Path(__file__).parent
SHOWN = 8
"""Samples on the page; report.json holds all."""


def page(report: Mapping[str, Any]) -> str:
    """The HTML."""
    return rendered(
        HERE / "page.html.j2", figures=figures(report), filters={"count": count}, names=tables.NAMES,
        shown=SHOWN, live=live_metrics(report), **_told(report),
    )  # fmt: skip


def markdown(report: Mapping[str, Any]) -> str:
    """The Markdown, for a pull request or a notebook; plots and samples are on the page."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(HERE), trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters |= {"count": count, "cell": _cell}
    return environment.get_template("report.md.j2").render(_told(report))


def _told(report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "report": report, "answer": answer(report), "budgets": tables.budgets(report),
        "compute": tables.compute(report), "benchmarks": tables.benchmarks(report), "quality": tables.quality(report),
        "dropped": tables.dropped(report), "settings": tables.settings(report), "stages": tables.stages(report),
    }  # fmt: skip


def _cell(cell: tables.Cell) -> str:
    """One cell of a Markdown table, whatever the text is."""
    text, beside = (cell, "") if isinstance(cell, str) else cell
    shown = f"{text} ({beside})" if beside else text
    return " ".join(shown.replace("|", "\\|").replace("<", "&lt;").split())


def as_json(report: Mapping[str, Any]) -> str:
    """For programs."""
    return json.dumps(report, indent=1) + "\n"
