"""A YAML file as plain values that know their lines. A key given twice, which PyYAML accepts in silence, is refused."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data_tools.errors import InputError


@dataclass(frozen=True)
class YamlFile:
    """What a file holds, and where."""

    where: str
    """What an error names as the place."""
    values: Any
    lines: dict[tuple[str, ...], int]
    """Path of keys -> line, counted from 1."""

    def line_of(self, location: tuple[str | int, ...]) -> int | None:
        """The line of a key, or of the nearest key above it; None where no line is known."""
        keys = tuple(map(str, location))
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys)


def read_yaml(path: Path) -> YamlFile:
    """Read a file.

    Raises:
        InputError: it is missing, is not UTF-8 or not YAML, or gives a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        found = "a folder" if path.is_dir() else (error.strerror or "an error").lower()
        raise InputError(where=str(path), found=found, expected="a YAML file", fix="Check the path.") from None
    except UnicodeDecodeError as error:
        raise InputError(
            where=str(path), found=f"bytes that are not UTF-8 (at {error.start})", expected="a YAML file in UTF-8",
            fix="Save the file as UTF-8.",
        ) from None  # fmt: skip
    lines: dict[tuple[str, ...], int] = {}
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return YamlFile(str(path), None, lines)
        _collect_lines(node, (), lines, set(), path)
        return YamlFile(str(path), loader.construct_document(node), lines)
    except yaml.YAMLError as error:
        raise _not_yaml(path, error) from None


def _not_yaml(path: Path, error: yaml.YAMLError) -> InputError:
    mark = getattr(error, "problem_mark", None)
    return InputError(
        where=f"{path}:{mark.line + 1}" if mark else str(path),
        found=getattr(error, "problem", None) or str(error).splitlines()[0],
        expected="valid YAML",
        fix="Indent with spaces, put a space after each colon, and close every bracket and quote.",
    )


def _collect_lines(
    node: yaml.Node, at: tuple[str, ...], lines: dict[tuple[str, ...], int], seen: set[int], path: Path
) -> None:
    lines.setdefault(at, node.start_mark.line + 1)
    if id(node) in seen:  # an anchor used again, perhaps inside itself
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _collect_lines(value, (*at, str(index)), lines, seen, path)
    if isinstance(node, yaml.MappingNode):
        here: dict[str, int] = {}
        for key_node, value in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in here:
                raise InputError(
                    where=f"{path}:{line}, key '{'.'.join((*at, key))}'",
                    found=f"a key that line {here[key]} has given already",
                    expected="each key once",
                    fix="Remove one of the two.",
                )
            here[key] = lines[(*at, key)] = line
            _collect_lines(value, (*at, key), lines, seen, path)
