"""What commands print: results on stdout, for people or as JSON; progress on stderr, as a bar or as lines."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from data_tools.corpus.manifest import Manifest

WIDTH_IN_A_FILE = 160
"""Columns of a table."""

SECONDS_BETWEEN_LINES = 5.0
"""In a log; on a terminal the bar moves by itself."""


def say(text: str) -> None:
    """One line for people, at once even if stdout is a file."""
    print(text, flush=True)


def print_result(result: "Manifest | Mapping[str, Any]", *, as_json: bool) -> None:
    """Print what a step made: its counts for people, all of it for a program."""
    values = dict(result) if isinstance(result, Mapping) else asdict(result)
    if as_json:
        say(json.dumps(values, indent=1))
        return
    if not isinstance(result, Mapping):
        values = {"step": result.step, **result.counts, "seconds": result.seconds}
    for line in _lines(values):
        say(line)


def _lines(values: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {shown(value)}")
    return lines


def shown(value: Any) -> str:
    """A value for people: thousands parted, six digits of a fraction, a dash for nothing."""
    if value is None or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def print_table(table: Any) -> None:
    """Print a table of rich."""
    from rich.console import Console

    # A file has no width: nothing is to be cut off there.
    Console(width=None if sys.stdout.isatty() else WIDTH_IN_A_FILE).print(table)


class Progress:
    """How far a long step has come. `with Progress("embedding", unit="documents") as progress: f(progress.update)`."""

    def __init__(self, label: str, *, unit: str):
        self.label, self.unit = label, unit
        self._bar: Any = None
        self._task: Any = None
        self._last_line: float | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = self._new_bar()
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=None)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int) -> None:
        """Say that `done` of `total` units are finished; a total of 0 is not known."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total or None)
            return
        now, finished = time.monotonic(), 0 < total <= done
        if self._last_line is None or finished or now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            known = f" of {total:,}" if total else ""
            print(f"{self.label}: {done:,}{known} {self.unit}", file=sys.stderr, flush=True)

    def _new_bar(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(self.unit),
            TimeRemainingColumn(),
        )  # fmt: skip
        return Bar(*columns, console=Console(stderr=True), transient=True)
