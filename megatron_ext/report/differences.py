"""In which settings the runs of an experiment differ: what is compared, and what should not be."""

from collections.abc import Iterator, Mapping
from typing import Any

ABSENT = "–"
OF_EVERY_RUN = ("tracking",)
"""Sections that name the run itself."""


def differences(configs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each setting that is not the same in all runs: {"setting", "values": run -> value}."""
    flat = {name: dict(_flattened(config)) for name, config in configs.items() if config}
    keys = list(dict.fromkeys(key for settings in flat.values() for key in settings))
    rows = [
        {"setting": key, "values": {name: settings.get(key, ABSENT) for name, settings in flat.items()}} for key in keys
    ]
    return [row for row in rows if len({repr(value) for value in row["values"].values()}) > 1]


def _flattened(config: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if not before and key in OF_EVERY_RUN:
            continue
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{before}{key}.")
        else:
            yield before + key, value
