"""Who may import whom, and how large a file and a function may grow.

docs/architecture.md gives the reasons; this file holds the line. A room may import itself and what its row names.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOPS = ("data_tools", "megatron_ext", "launch")

GROUND = {
    "data_tools.errors", "data_tools.files", "data_tools.intervals", "data_tools.permutation", "data_tools.processes",
}  # fmt: skip
LINES = GROUND | {"data_tools.lines"}
CORPORA = LINES | {"data_tools.http", "data_tools.workers", "data_tools.corpus", "data_tools.text"}
CONFIG = GROUND | {"megatron_ext.config"}
PLAN = CONFIG | {"data_tools.corpus", "megatron_ext.plan"}
MODEL = PLAN | {
    "data_tools.text.tokenizer",
    "megatron_ext.platform", "megatron_ext.model", "megatron_ext.data",
}  # fmt: skip
STATE = MODEL | {"megatron_ext.checkpoint", "megatron_ext.convert"}
RUN = STATE | {"megatron_ext.training"}

MAY_IMPORT = {
    "data_tools.errors": set(),
    "data_tools.http": set(),
    "data_tools.files": GROUND,
    "data_tools.intervals": set(),
    "data_tools.permutation": set(),
    "data_tools.processes": set(),
    "data_tools.lines": GROUND,
    "data_tools.workers": GROUND,
    "data_tools.corpus": LINES,
    "data_tools.text": LINES | {"data_tools.corpus"},
    "data_tools.steps": CORPORA,
    "data_tools.synthesis": CORPORA,
    "data_tools.quality": CORPORA | {"data_tools.synthesis"},
    "data_tools.recall": CORPORA | {"data_tools.synthesis", "data_tools.steps"},
    "megatron_ext.config": GROUND,
    "megatron_ext.plan": PLAN,
    "megatron_ext.platform": MODEL,
    "megatron_ext.model": MODEL,
    "megatron_ext.data": MODEL,
    "megatron_ext.checkpoint": STATE,
    "megatron_ext.convert": STATE | {"data_tools.text.encoders"},
    "megatron_ext.training": STATE,
    "megatron_ext.evaluation": RUN | {"megatron_ext.knowledge"},
    "megatron_ext.knowledge": RUN | {"megatron_ext.report"},
    "megatron_ext.report": CONFIG,
    "megatron_ext.sweep": CONFIG,
    "megatron_ext.compare": PLAN | CORPORA | {"data_tools.steps", "megatron_ext.report", "megatron_ext.sweep"},
    "megatron_ext.cli": {"data_tools", "megatron_ext", "launch"},
    "megatron_ext.__main__": {"megatron_ext.cli"},
    "launch": CONFIG,
}
PACKAGES = set(TOPS)
"""Their own `__init__` holds a docstring only, so they need no row."""

MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 80
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
HEAVY = {"torch", "megatron", "transformers", "sentence_transformers", "faiss", "scann", "plotly", "vllm"}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = sorted(path for top in TOPS for path in (ROOT / top).rglob("*.py"))
MODULES = {module_of(path): path for path in FILES}
ALL_FILES = FILES + sorted(path for top in ("tests", "benchmarks", "examples") for path in (ROOT / top).rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in ALL_FILES}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports_of(nodes: Iterator[ast.AST] | list[ast.AST]) -> set[str]:
    """Absolute names, as `package.module.name`; relative imports are refused by the linter."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.split(".")[0] in TOPS}


def inside(name: str, room: str) -> bool:
    return name == room or name.startswith(room + ".")


def room_of(module: str) -> str | None:
    return next((room for room in MAY_IMPORT if inside(module, room)), None)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_imports_only_what_its_room_may(path):
    module = module_of(path)
    room = room_of(module)
    assert room or module in PACKAGES, f"{module} stands in no room: add a row, with its direction"
    allowed = MAY_IMPORT[room] | {room} if room else set()
    found = ours(imports_of(ast.walk(TREES[path])))
    refused = {name for name in found if not any(inside(name, other) for other in allowed)}
    assert not refused, f"{module} may not import {sorted(refused)}: take it as an argument instead"


def test_no_two_modules_import_each_other_in_a_circle():
    """Imports inside functions count: they run later, yet tie the same knot."""
    graph = {}
    for module, path in MODULES.items():
        found = ours(imports_of(ast.walk(TREES[path])))
        targets = {name if name in MODULES else name.rpartition(".")[0] for name in found}
        graph[module] = {target for target in targets if target in MODULES and target != module}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, "import cycle: " + " -> ".join((*trail[trail.index(module) :], module))
        if module not in done:
            for target in sorted(graph[module]):
                visit(target, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", [path for path in FILES if module_of(path).startswith(("data_tools", "launch"))],
                         ids=module_of)  # fmt: skip
def test_making_data_needs_no_torch_to_be_imported(path):
    heavy = {name for name in imports_of(at_import(TREES[path])) if name.split(".")[0] in HEAVY}
    assert not heavy, f"{sorted(heavy)} is imported at the top: import it in the function that needs it"


def at_import(tree: ast.Module) -> list[ast.AST]:
    """What runs when a file is imported: all but the bodies of functions, and what only a type checker reads."""
    nodes, waiting = [], list(tree.body)
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += list(ast.iter_child_nodes(node))
    return nodes


@pytest.mark.parametrize("path", ALL_FILES, ids=name_of)
def test_a_file_can_be_read_in_one_sitting(path):
    lines = len(path.read_text().splitlines())
    assert lines <= MOST_LINES_OF_A_FILE, f"{lines} lines: part it by what its parts are about"
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= MOST_LINES_OF_A_FUNCTION, f"{node.name} has {length} lines: give its steps names"


@pytest.mark.parametrize("path", ALL_FILES, ids=name_of)
def test_a_file_opens_with_what_it_is(path):
    assert ast.get_docstring(TREES[path]), "no docstring: say what the file is and what it promises"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_argument_of_ours_is_typed(path):
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            bare = [a.arg for a in arguments if a and a.annotation is None and a.arg not in {"self", "cls"}]
            assert not bare, f"{node.name} (line {node.lineno}) takes {bare} without a type"


@pytest.mark.parametrize("path", [path for path in ALL_FILES if path != Path(__file__)], ids=name_of)
def test_nothing_is_left_unfinished_or_global(path):
    unfinished = [line for line in path.read_text().splitlines() if UNFINISHED.search(line)]
    assert not unfinished, f"finish it or leave it out: {unfinished}"
    for node in ast.walk(TREES[path]):
        assert not isinstance(node, ast.Global), f"line {node.lineno}: pass the value instead of sharing it"
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import; name the module in full"
