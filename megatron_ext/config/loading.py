"""YAML files to configs. Whatever is wrong with a file ends in an InputError: file and line, key, found, expected, fix.

Paths in a file are relative to that file. `model:` may be a path to a YAML file of its own.
"""

import dataclasses
import difflib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from data_tools.errors import InputError
from megatron_ext.config.cluster import ClusterConfig
from megatron_ext.config.comparison import ComparisonConfig
from megatron_ext.config.experiment import ExperimentConfig
from megatron_ext.config.fields import UnfitError
from megatron_ext.config.model import ModelConfig
from megatron_ext.config.schema import RunConfig
from megatron_ext.config.sweep import SweepConfig
from megatron_ext.config.yaml_file import YamlFile, read_yaml

Location = tuple[str | int, ...]


def load_run(path: Path) -> RunConfig:
    """The run that a YAML file describes.

    Raises:
        InputError: the file can't be read, or something in it can't be used.
    """
    return _load(RunConfig, path)


def load_experiment(path: Path) -> ExperimentConfig:
    """The experiment that a YAML file describes.

    Raises:
        InputError: as for `load_run`.
    """
    return _load(ExperimentConfig, path)


def load_sweep(path: Path) -> SweepConfig:
    """The sweep that a YAML file describes.

    Raises:
        InputError: as for `load_run`.
    """
    return _load(SweepConfig, path)


def load_comparison(path: Path) -> ComparisonConfig:
    """The comparison that a YAML file describes.

    Raises:
        InputError: as for `load_run`.
    """
    return _load(ComparisonConfig, path)


def load_cluster(path: Path) -> ClusterConfig:
    """The cluster that a YAML file describes.

    Raises:
        InputError: as for `load_run`.
    """
    return _load(ClusterConfig, path)


def run_from_dict(values: Mapping[str, Any], where: str) -> RunConfig:
    """A run from plain values, such as `as_dict` gives. Relative paths stay relative to the working directory.

    Args:
        values: keys of a run file.
        where: what an error names as the place.

    Raises:
        InputError: something in it can't be used.
    """
    return _check(RunConfig, YamlFile(where=where, values=dict(values), lines={}), base=None)


def model_from_dict(values: Mapping[str, Any], where: str) -> ModelConfig:
    """The sizes of a model from plain values.

    Raises:
        InputError: as for `run_from_dict`.
    """
    return _check(ModelConfig, YamlFile(where=where, values=dict(values), lines={}), base=None)


def as_dict(config: Any) -> dict[str, Any]:
    """A config as plain values for JSON or YAML, defaults included; `run_from_dict` reads them back."""
    return _adapter(type(config)).dump_python(config, mode="json")


def _load(kind: type, path: Path) -> Any:
    file = read_yaml(path)
    if isinstance(file.values, dict) and isinstance(file.values.get("model"), str):
        model = _check(ModelConfig, read_yaml(path.parent / file.values["model"]), base=path.parent)
        file = dataclasses.replace(file, values={**file.values, "model": as_dict(model)})
    return _check(kind, file, base=path.parent.absolute())


def _check(kind: type, file: YamlFile, *, base: Path | None) -> Any:
    if not isinstance(file.values, dict):
        found = "an empty file" if file.values is None else f"a {type(file.values).__name__}"
        raise InputError(
            where=file.where,
            found=found,
            expected=f"keys and values: {', '.join(_keys(kind))}",
            fix="Start from one of the files in configs/.",
        )
    try:
        text = json.dumps(file.values, default=str)
    except (ValueError, TypeError) as error:
        raise InputError(
            where=file.where,
            found=f"values that nest in themselves or have no plain keys ({error})",
            expected="keys and plain values",
            fix="Write the values out, without YAML anchors that refer to themselves.",
        ) from None
    try:
        # As JSON: in strict mode only JSON may give a dict for a dataclass and a string for a path.
        return _adapter(kind).validate_json(text, context={"base": base})
    except ValidationError as error:
        raise _input_error(kind, file, error) from None


@cache
def _adapter(kind: type) -> TypeAdapter:
    return TypeAdapter(kind)


def _input_error(kind: type, file: YamlFile, error: ValidationError) -> InputError:
    # A misspelt key is reported before the key that it leaves missing.
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "unexpected_keyword_argument")
    problem, others = problems[0], len(problems) - 1
    location: Location = problem["loc"]
    found, expected, fix = _describe(kind, problem)
    if others:
        fix += f" (And {others} more such {'place' if others == 1 else 'places'}.)"
    line = file.line_of(location)
    place = file.where if line is None else f"{file.where}:{line}"
    if location:
        place += f", key '{'.'.join(map(str, location))}'"
    return InputError(where=place, found=found, expected=expected, fix=fix)


def _describe(kind: type, problem: Any) -> tuple[str, str, str]:
    """(found, expected, fix) of one thing that pydantic refused."""
    *parent, key = problem["loc"] or ("",)
    reason = problem.get("ctx", {}).get("error")
    if isinstance(reason, UnfitError):
        return reason.found, reason.expected, reason.fix
    if problem["type"] == "unexpected_keyword_argument":
        known = _keys(_type_at(kind, tuple(parent)))
        near = difflib.get_close_matches(str(key), known, n=1)
        fix = f"Did you mean '{near[0]}'?" if near else "Remove it; a key that nobody reads is never ignored."
        return "an unknown key", f"one of {', '.join(known)}", fix
    if problem["type"] == "missing":
        return "no such key", "a value", f"Add `{key}:` there; the files in configs/ show every key."
    if problem["type"] == "too_short":
        return "nothing in it", "at least one entry", f"Add an entry to `{key}`."
    expected = problem["msg"].removeprefix("Input should be ")
    value = problem["input"]
    if isinstance(value, str) and (number := _as_number(value)) is not None:
        fix = f"YAML reads {value} as text: write {number}, without quotes."
        return f"the text '{value}'", "a number", fix
    if isinstance(value, bool):
        return (
            str(value).lower(),
            expected,
            "YAML reads on, off, yes, no as true or false: quote words.",
        )
    shown = "nothing" if value is None else json.dumps(value, default=str)
    return shown if len(shown) < 80 else f"a {type(value).__name__}", expected, f"Set `{key}` to {expected}."


def _as_number(text: str) -> str | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if number.is_integer() and abs(number) < 1e18:
        return f"{int(number)}"
    return f"{number:.12f}".rstrip("0") if 1e-9 <= abs(number) < 1e18 else f"{number:.1e}"


def _keys(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _type_at(kind: Any, location: Location) -> Any:
    """The config class at a place: fields by name, entries of a dict by any name."""
    for key in location:
        if get_origin(kind) in (dict, tuple):
            kind = get_args(kind)[-1]
        elif dataclasses.is_dataclass(kind):
            kind = get_type_hints(kind).get(str(key))
        if isinstance(kind, UnionType):  # a section that may be left out
            kind = next((part for part in get_args(kind) if dataclasses.is_dataclass(part)), None)
    return kind
