"""The graph of an experiment's stages: which come after which, which are still to be done, and how it is drawn.

What a stage does is not known here; it is finished when its outputs are: a folder with a manifest, or a file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data_tools.files import write_whole
from launch.attempts import folder_of

GRAPH, MANIFEST = "graph.json", "manifest.json"


@dataclass(frozen=True)
class Stage:
    """One stage, as a job sees it."""

    title: str
    needs: tuple[str, ...] = ()
    """Stages whose outputs it reads. It is drawn under the first."""
    takes: Literal["cpus", "gpu", "node", "run"] = "cpus"
    """CPUs of a node, a GPU for each task, all of a node, or nodes that train until the run is done."""
    parted: bool = False
    """Whether the tasks of an array can share it out."""
    outputs: tuple[str, ...] = ()
    """In the experiment's folder. Empty: a folder of the stage's name."""
    kept: tuple[str, ...] = ()
    """Further folders, which only goes when the stage is to be done anew."""

    def made_by(self, name: str) -> tuple[str, ...]:
        """Its outputs, if it has this name."""
        return self.outputs or (name,)


Stages = Mapping[str, Stage]
"""By name, each after those that it needs."""


def is_done(stage: Stage, name: str, folder: Path) -> bool:
    """Whether all outputs of a stage are finished."""
    return are_made(stage.made_by(name), folder)


def are_made(outputs: Sequence[str], folder: Path) -> bool:
    """Whether outputs are there, whole, in an experiment's folder."""
    paths = [folder / output for output in outputs]
    return all((path / MANIFEST).is_file() if path.is_dir() else path.is_file() for path in paths)


def unfinished(stages: Stages, folder: Path) -> list[str]:
    """Stages that have to run so that the last ones are finished, in their order.

    What a finished stage was made from may be gone: nothing asks for it.
    """
    needed = {name for stage in stages.values() for name in stage.needs}
    waiting, found = [name for name in stages if name not in needed], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in found and not is_done(stages[name], name, folder):
            found.add(name)
            waiting += stages[name].needs
    return [name for name in stages if name in found]


def tree(stages: Stages) -> dict[str, str]:
    """Name -> its line in a drawing, in the order of the lines: each stage under the first that it needs."""
    below: dict[str | None, list[str]] = {None: []}
    for name, stage in stages.items():
        below.setdefault(stage.needs[0] if stage.needs else None, []).append(name)
    lines: dict[str, str] = {}

    def add(name: str, before: str, *, last: bool, top: bool) -> None:
        others = stages[name].needs[1:]
        also = f" (and {', '.join(others)})" if others else ""
        lines[name] = before + ("" if top else "└─ " if last else "├─ ") + name + also
        inner = before + ("" if top else "   " if last else "│  ")
        for child in (children := below.get(name, [])):
            add(child, inner, last=child == children[-1], top=False)

    for root in below[None]:
        add(root, "", last=True, top=True)
    return lines


def draw(stages: Stages, columns: Mapping[str, Sequence[str]], heads: Sequence[str]) -> str:
    """The tree, and beside each stage what is told of it, column under column."""
    drawn = tree(stages)
    rows = [["stage", *heads], *([line, *columns[name]] for name, line in drawn.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def read_graph(folder: Path) -> dict[str, Any]:
    """What was submitted last for each stage: {"settings": hash, "stages": {name: {"job", "outputs", "log", ...}}}."""
    path = folder_of(folder) / GRAPH
    return json.loads(path.read_text()) if path.exists() else {"settings": None, "stages": {}}


def write_graph(folder: Path, graph: Mapping[str, Any]) -> None:
    """Keep it in the experiment's folder."""
    write_whole(folder_of(folder) / GRAPH, json.dumps(graph, indent=1) + "\n")
