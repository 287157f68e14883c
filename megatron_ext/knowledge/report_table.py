"""The dictionary of `described` as Markdown: one table of measures, one of the paper's findings."""

from collections.abc import Iterator
from typing import Any

MEASURES = ("run", "group", "probes of", "effectivity", "95%", "first showing", "later ones", "decay a", "sigma", "R²",
            "threshold, steps", "threshold, tokens", "learnt", "never learnt", "not known")  # fmt: skip
FINDINGS = ("finding", "runs", "verdict", "difference", "95%", "rests on")
TEXT = {"run", "group", "probes of", "finding", "runs", "verdict", "rests on"}
LARGEST_SHOWN = 1e15
"""Steps or tokens; a line as flat as that tells nothing but that it is flat."""


def tables(found: dict[str, Any]) -> str:
    """Markdown, with the notes of each run and the settings."""
    notes = [f"- {name}: {note}" for name, run in found["runs"].items() for note in run["notes"]]
    settings = found["settings"]
    outliers = settings["outliers"]
    left_out = "no value is" if outliers is None else f"values outside {outliers:g} interquartile ranges are"
    parts = [
        "# What was learnt and kept", _table(MEASURES, measure_rows(found)),
        f"Window {settings['window']} steps; {left_out} left out; effectivity in nats per token; 95% over passages.",
        *(["\n".join(notes)] if notes else []),
        "# The paper's findings", _table(FINDINGS, finding_rows(found)),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def measure_rows(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row for each run, group and kind of probe."""
    for name, run in found["runs"].items():
        for group, measured in run["groups"].items():
            for kind, of_kind in measured["kinds"].items():
                yield name, group, kind, *_measures(of_kind)


def _measures(kind: dict[str, Any]) -> tuple[str, ...]:
    first, *later = kind["effectivity_by_showing"] or [{"mean": None}]
    known = [each["mean"] for each in later if each["mean"] is not None]
    decay, threshold, kept = kind["decay"] or {}, kind["learnability_threshold"], kind["retainability"]["probes"]
    return (
        number(kind["effectivity"]["mean"]), interval(kind["effectivity"]["interval"]), number(first["mean"]),
        number(sum(known) / len(known) if known else None), number(decay.get("a")), number(decay.get("sigma"), 5),
        number(decay.get("r2"), 2), power(threshold), power(threshold, "tokens"), f"{kept['defined']:,}",
        f"{kept['never_learnt']:,}", f"{kept['cut_by_the_end'] + kept['not_measured']:,}",
    )  # fmt: skip


def finding_rows(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row for each finding."""
    for finding in found["findings"]:
        difference = finding["difference"]
        yield (finding["says"], finding["runs"], finding["verdict"], number(difference["mean"]),
               interval(difference["interval"]), finding["why"])  # fmt: skip


def number(value: float | None, digits: int = 3) -> str:
    """For people; a dash for nothing."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval(ends: list[float | None] | None) -> str:
    """`0.120 to 0.180`; a dash where it is not known."""
    return "–" if ends is None else " to ".join("∞" if end is None else number(end) for end in ends)


def powers(ends: list[float | None] | None) -> str:
    """The interval of a learnability threshold in steps."""
    return "–" if ends is None else " to ".join("∞" if end is None else _steps(end) for end in ends)


def power(threshold: dict[str, Any], unit: str = "steps") -> str:
    """A learnability threshold; a star where it lies beyond what was followed, ∞ where nothing is forgotten."""
    value = threshold[unit]
    if value is None:
        return "∞" if threshold["interval"] or threshold["log10_steps"] else "–"
    return _steps(value) + (" *" if threshold["extrapolated"] else "")


def _steps(value: float) -> str:
    if value > LARGEST_SHOWN:
        return "> 1e15"
    return f"{value:,.0f}" if 10 <= value < 1e6 else f"{value:.2g}"


def _table(titles: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    rule = ["---" if title in TEXT else "---:" for title in titles]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in (titles, rule, *rows))
