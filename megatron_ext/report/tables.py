"""The tables of a report as text, cell by cell: the page and the Markdown show the same ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from megatron_ext.report.budgets import PARTS
from megatron_ext.report.collect import LONGER
from megatron_ext.report.numbers import DASH, count, figure, interval, percent, power
from megatron_ext.report.paper import SCALES
from megatron_ext.report.seeds import ARMS

NAMES = {"baseline": "Baseline", "sbp": "SBP", "oracle": "Oracle", LONGER: "FLOPs-matched"}
NOT_DOCUMENTS = ("pages", "tokens", "requests", "prompt_tokens", "generated_tokens")
"""Counts of stages that have no place among what was kept and dropped."""
TOKENS = {
    "trained": "Tokens trained", "unique": "of them unique", "repeated": "of them repeated",
    "synthetic": "of them synthetic",
}  # fmt: skip
LONGEST_VALUE = 60
"""Characters of a setting's value."""

Cell = str | tuple[str, str]
"""A text, or a text and what stands small beside it, such as an interval."""


@dataclass(frozen=True)
class Table:
    """Rows of cells under heads. A row of one cell is a heading over those below it."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: int = 1
    """Columns from the left that hold words, not numbers."""


def budgets(report: Mapping[str, Any]) -> Table:
    """What each arm was trained on."""
    arms = report["arms"]
    rows: list[Sequence[Cell]] = [
        [title, *(count(arm["tokens"][key]) for arm in arms.values())] for key, title in TOKENS.items()
    ]
    epochs = [", ".join(f"{name} {value:.2f}" for name, value in arm["epochs"].items()) for arm in arms.values()]
    rows.append(["Epochs, by source", *epochs])
    for key, title in (("steps", "Steps"), ("parameters", "Parameters")):
        rows.append([title, *(count(arm[key]) for arm in arms.values())])
    rows.append(["Training FLOPs", *(power(arm["flops"]) for arm in arms.values())])
    return Table(["", *(NAMES[name] for name in arms)], rows)


def compute(report: Mapping[str, Any]) -> Table | None:
    """FLOPs by what they were for."""
    if not report["compute"]:
        return None
    arms = report["compute"]["arms"]
    rows: list[Sequence[Cell]] = [
        [title, *(DASH if arm[key] == 0 else power(arm[key]) for arm in arms.values())] for key, title in PARTS.items()
    ]
    rows.append(["in all", *(power(arm["total"]) for arm in arms.values())])
    rows.append(
        ["times the baseline's", *(DASH if arm["times"] is None else f"{arm['times']:.2f}" for arm in arms.values())]
    )
    return Table(["FLOPs", *(NAMES[name] for name in arms)], rows)


def benchmarks(report: Mapping[str, Any]) -> Table | None:
    """In the layout of the paper's table 1, which stands beside it where the names match."""
    found = report["benchmarks"]
    if not found:
        return None
    beside = [scale for scale in SCALES if any(row["paper"] for row in found)]
    heads = ["Benchmark", *(NAMES[name] for name in ARMS), "Items"]
    heads += [f"Paper, {scale}" for scale in beside]
    rows: list[Sequence[Cell]] = []
    for kind, title in (("perplexity", "Perplexity, lower is better"), ("accuracy", "Accuracy in %, higher is better")):
        of_kind = [row for row in found if row["kind"] == kind]
        rows += [[title]] if of_kind else []
        for row in of_kind:
            theirs = [_of_paper(row["paper"], scale) for scale in beside]
            rows.append([row["title"], *_ours(row), count(row["items"] or None), *theirs])
    return Table(heads, rows)


def quality(report: Mapping[str, Any]) -> Table | None:
    """Measures of the synthetic corpus that are shares of its documents, beside the paper's; then those that aren't."""
    if not report["quality"]:
        return None
    measures, paper = report["quality"]["measures"], report["quality"]["paper"]
    columns = list(dict.fromkeys(column for values in paper.values() for column in values))
    shares: list[Sequence[Cell]] = [
        [name.replace("_", " "), _share(found), count(found["of"]),
         *(percent(paper.get(name, {}).get(column)) for column in columns)]
        for name, found in measures.items() if "low" in found
    ]  # fmt: skip
    others: list[Sequence[Cell]] = [
        [name.replace("_", " "), DASH if found["value"] is None else f"{found['value']:.3f}", count(found["of"]),
         *[""] * len(columns)]
        for name, found in measures.items() if "low" not in found
    ]  # fmt: skip
    heads = ["Measure", "Here", "Of", *(f"Paper: {column}" for column in columns)]
    return Table(heads, [["Share of documents"], *shares, ["Otherwise"], *others])


def dropped(report: Mapping[str, Any]) -> Table:
    """What each stage left out and why."""
    rows: list[Sequence[Cell]] = []
    for stage, counts in report["filters"].items():
        for place, (what, number, share) in enumerate(filter_rows(counts)):
            rows.append(["" if place else stage, what, count(number), share])
    return Table(["Stage", "What", "Count", "Of what came in"], rows, words=2)


def filter_rows(counted: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """(what, count, share of what came in) of a stage: what came in, what was dropped and why, then the rest."""
    counts = {name: value for name, value in counted.items() if isinstance(value, int)}  # not which libraries, say
    came_in = next((name for name in ("read", "candidates", "drafts") if name in counts), None)
    dropped = [name for name in counts if name.startswith("dropped_")]
    rest = [name for name in counts if name not in (came_in, *dropped, *NOT_DOCUMENTS) and counts[name]]
    total = counts[came_in] if came_in else counts.get("documents", 0) + sum(counts[name] for name in dropped)
    return [
        (name.replace("_", " "), counts[name], f"{counts[name] / total:.1%}" if name in dropped and total else "")
        for name in ([came_in] if came_in else []) + dropped + rest
    ]


def settings(report: Mapping[str, Any]) -> Table | None:
    """In which settings the arms differ."""
    if not report["differences"]:
        return None
    names = list(report["differences"][0]["values"])
    rows = [[row["setting"], *(_short(row["values"][name]) for name in names)] for row in report["differences"]]
    return Table(["Setting", *(NAMES[name] for name in names)], rows, words=1 + len(names))


def stages(report: Mapping[str, Any]) -> Table:
    """How long each took."""
    return Table(["Stage", "Seconds"], [[name, f"{made['seconds']:,.1f}"] for name, made in report["stages"].items()])


def _ours(row: Mapping[str, Any]) -> Iterable[Cell]:
    scale = 100 if row["kind"] == "accuracy" else 1
    if "plain" in row:
        return [figure(scale * row["plain"][name]) if name in row["plain"] else DASH for name in ARMS]
    base, *others = (row[name] for name in ARMS)
    return [
        (figure(scale * base["value"]), interval(base, scale=scale)),
        *((figure(scale * each["value"], plus=True), interval(each, scale=scale, plus=True)) for each in others),
    ]


def _of_paper(paper: Mapping[str, Sequence[float]] | None, scale: str) -> str:
    if not paper:
        return DASH
    base, *others = paper[scale]
    return " ".join([figure(base), *(figure(value, plus=True) for value in others)])


def _share(found: Mapping[str, Any]) -> Cell:
    if found["value"] is None:
        return DASH
    return percent(found["value"]), f"{percent(found['low'])} to {percent(found['high'])}"


def _short(value: Any) -> str:
    """Of a path its end: the beginning is the same for all."""
    text = str(value)
    if isinstance(value, str) and "/" in text:
        text = "/".join(PurePath(text).parts[-2:])
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
