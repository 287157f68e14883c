"""Files of an experiment, read so that one that is damaged is named in the report instead of ending it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

UNFIT = (KeyError, TypeError, ValueError, AttributeError)
"""What comes of JSON that is none, or holds something else than is asked of it."""


class Files:
    """Reads below a folder, and remembers what could not be read."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.broken: list[str] = []
        """A sentence for each file that is there and can't be used."""

    def at(self, name: str) -> "Files":
        """The same for a folder inside; what is broken there is told by both."""
        inner = Files(self.folder / name)
        inner.broken = self.broken
        return inner

    def json(self, name: str) -> Any:
        """What a JSON file holds; None if it isn't there, or broken."""
        path = self.folder / name
        if not path.is_file():
            return None
        try:
            return json.loads(path.read_bytes())
        except ValueError as error:
            self._tell(f"{path}: no JSON ({error}).")
            return None

    def lines(self, name: str, make: Callable[[Any], Any] = lambda row: row) -> list[Any]:
        """What `make` makes of each row of a file of JSON lines; nothing if it isn't there, or broken.

        A last line without its end is left out: a kill may leave one.
        """
        path = self.folder / name
        rows = []
        for number, line in enumerate(path.read_bytes().split(b"\n")[:-1] if path.is_file() else [], start=1):
            try:
                rows.append(make(json.loads(line)))
            except UNFIT as error:
                self._tell(f"{path}:{number}: not as it was written ({_named(error)}); nothing of this file is shown.")
                return []
        return rows

    def made_of(self, name: str, make: Callable[[Any], Any]) -> Any:
        """What `make` makes of a JSON file; None if there is none, or it lacks what is asked of it."""
        found = self.json(name)
        if found is None:
            return None
        try:
            return make(found)
        except UNFIT as error:
            self._tell(f"{self.folder / name}: not as it was written ({_named(error)}).")
            return None

    def _tell(self, sentence: str) -> None:
        if sentence not in self.broken:
            self.broken.append(sentence)


def _named(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)
