"""The pages: figures, the paper's beside them, and documents that each measure flagged. No network is needed."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_tools.files import write_whole
from data_tools.lines import read_lines
from data_tools.quality.documents import Documents, opened
from data_tools.quality.judge import VERDICTS
from data_tools.quality.measures import FLAGGED
from data_tools.quality.measuring import ANSWERS, DUPLICATES

FIGURES, PAGE = "quality.json", "quality.html"
HERE = Path(__file__).parent
SHOWN = 4
"""Documents of each measure, and answers of each verdict."""
SHORTENED = 4000
"""Characters of a text."""

COLUMNS = ("SBP 200B", "SBP 1T", "real")
PAPER = {
    "repetition": (0.043, 0.039, 0.018),
    "repetition_judged": (0.043, 0.039, 0.018),
    "duplicate": (0.008, 0.008, 0.007),
    "non_factual": (0.151, 0.087, 0.018),
    "pair_irrelevance": (0.256, 0.078, None),
    "pair_copying": (0.001, 0.009, None),
    "pair_copying_by_rule": (0.001, 0.009, None),
}
"""Shares that Synthetic Bootstrapped Pretraining reports in table 2: of its 200B and 1T runs, and of real data."""

SAYS = {
    "repetition": "hold the same 13 words in a row twice",
    "duplicate": "have a near-duplicate in the sample: Jaccard similarity 0.6 of runs of five words",
    "pair_copying_by_rule": "are their source but for a few words: Jaccard similarity 0.8",
    "mostly_copied": "have more than half of their runs of 13 words from their source",
    "heldout_overlap": "share 13 words in a row with a held-out document",
    "benchmark_overlap": "share 13 words in a row with a benchmark's item",
    "dropped": "filters dropped as the corpus was made, of all that the model wrote",
    "dropped_repetition": "were dropped since they repeat 13 words, of all that the model wrote",
    "non_factual": "state something wrong, in the judge's eyes",
    "pair_irrelevance": "are on another subject than their source, in the judge's eyes",
    "pair_copying": "copy their source, in the judge's eyes",
    "repetition_judged": "repeat themselves, in the judge's eyes",
    "self_bleu": "BLEU of a document against the others of its source; 1: all the same",
    **{f"distinct_{n}": f"share of {n}-grams that are different, by as many words" for n in range(1, 5)},
    "gini": "of documents over sources; 0: all have as many",
    "top_percent": "share of documents of the busiest hundredth of the sources",
}


def write_quality_page(folder: Path, report: dict[str, Any], corpus: Path, source: Path | None) -> None:
    """Write `quality.json` and `quality.html` into a folder that holds the lists of documents."""
    paper = {name: dict(zip(COLUMNS, PAPER[name], strict=True)) for name in report["measures"] if name in PAPER}
    write_whole(folder / FIGURES, json.dumps(report | {"paper": paper}, indent=1) + "\n")
    documents = opened(corpus)
    origins = opened(source) if source is not None else None
    answers = list(read_lines(folder / ANSWERS)) if (folder / ANSWERS).is_file() else []
    page = _rendered(
        "quality_page.html.j2", report=report, columns=COLUMNS, paper=paper, says=SAYS,
        widest=max(row["documents"] for row in report["lengths"]["histogram"]),
        samples=list(_flagged(folder, report, documents, origins)),
        answers=list(_some(answers, documents, origins)),
    )  # fmt: skip
    write_whole(folder / PAGE, page)


def write_concepts_page(
    page: Path, numbers: Path, figures: Mapping[str, Any], rows: Sequence[Mapping[str, str]]
) -> None:
    """Write the figures, and a page of them with some pairs."""
    write_whole(numbers, json.dumps(dict(figures), indent=1) + "\n")
    shown = [{**row, "text": _short(row["text"]), "source": _short(row["source"])} for row in rows]
    write_whole(page, _rendered("concepts_page.html.j2", figures=figures, rows=shown))


def _flagged(
    folder: Path, report: Mapping[str, Any], documents: Documents, origins: Documents | None
) -> Iterator[dict[str, Any]]:
    """The first documents that each rule flagged, with their sources, or what they are near-duplicates of."""
    wanted = Counter({name: min(SHOWN, found.get("count", 0)) for name, found in report["measures"].items()})
    rows = list[dict[str, Any]]()
    for row in read_lines(folder / FLAGGED):
        if wanted[row["measure"]]:
            wanted[row["measure"]] -= 1
            rows.append(row)
    for row in sorted(rows, key=lambda row: list(SAYS).index(row["measure"])):
        beside = _source(documents, origins, row["number"])
        yield row | {"text": _short(documents.text(row["number"])), "title": "source", "beside": beside}
    for place, row in enumerate(read_lines(folder / DUPLICATES)):
        if place == SHOWN:
            break
        texts = {"text": _short(documents.text(row["number"])), "beside": _short(documents.text(row["first"]))}
        yield row | texts | {"measure": "duplicate", "detail": f"like {row['like']}", "title": row["like"]}


def _some(
    answers: Sequence[Mapping[str, Any]], documents: Documents, origins: Documents | None
) -> Iterator[dict[str, Any]]:
    """The first answers of each verdict, with what they are about."""
    seen = Counter[tuple[str, str]]()
    for row in answers:
        kind = row["measure"], row["verdict"]
        seen[kind] += 1
        if seen[kind] <= SHOWN:
            yield {
                **row, "text": _short(documents.text(row["number"])),
                "beside": _source(documents, origins, row["number"]) if VERDICTS[row["measure"]][2] else "",
            }  # fmt: skip


def _source(documents: Documents, origins: Documents | None, number: int) -> str:
    """The beginning of what a document was made of; nothing where that isn't known."""
    if origins is None or documents.sources is None:
        return ""
    return _short(origins.text(int(documents.sources[number])))


def _short(text: str) -> str:
    return text if len(text) <= SHORTENED else text[:SHORTENED] + " …"


def _rendered(template: str, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    style = Markup((HERE / "style.css").read_text())
    return environment.get_template(template).render(style=style, **values)
