"""Who may import whom, and how large a file and a function may grow.

docs/architecture.md gives the reasons; this file holds the line. A room may import itself and what its row names.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

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


def functions_of(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(TREES[path]) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_every_file_stands_in_a_room():
    lost = [module for module in MODULES if room_of(module) is None and module not in PACKAGES]
    assert not lost, "add a row for its room, with its direction"


def test_a_file_imports_only_what_its_room_may():
    refused = [
        f"{module} imports {name}"
        for module, path in MODULES.items() for name in ours(imports_of(ast.walk(TREES[path])))
        if not any(inside(name, other) for room in [room_of(module)] if room for other in MAY_IMPORT[room] | {room})
    ]  # fmt: skip
    assert not refused, "take it as an argument instead"


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


def test_making_data_needs_no_torch_to_be_imported():
    heavy = [
        f"{module} imports {name} at the top"
        for module, path in MODULES.items() if module.startswith(("data_tools", "launch"))
        for name in imports_of(at_import(TREES[path])) if name.split(".")[0] in HEAVY
    ]  # fmt: skip
    assert not heavy, "import it in the function that needs it"


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


def test_a_file_can_be_read_in_one_sitting():
    lines = {name_of(path): len(path.read_text().splitlines()) for path in ALL_FILES}
    long = {name: count for name, count in lines.items() if count > MOST_LINES_OF_A_FILE}
    assert not long, "part it by what its parts are about"


def test_a_function_can_be_seen_at_once():
    lines = {
        f"{name_of(path)}, {function.name}": function.end_lineno - function.lineno + 1
        for path in ALL_FILES for function in functions_of(path)
    }  # fmt: skip
    long = {name: count for name, count in lines.items() if count > MOST_LINES_OF_A_FUNCTION}
    assert not long, "give its steps names"


def test_a_file_opens_with_what_it_is():
    bare = [name_of(path) for path in ALL_FILES if not ast.get_docstring(TREES[path])]
    assert not bare, "say what the file is and what it promises"


def test_every_argument_of_ours_is_typed():
    bare = [
        f"{name_of(path)}, {function.name} (line {function.lineno}) takes {argument.arg}"
        for path in FILES for function in functions_of(path) for argument in arguments_of(function)
        if argument.annotation is None and argument.arg not in {"self", "cls"}
    ]  # fmt: skip
    assert not bare, "say its type"


def arguments_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [argument for argument in every if argument]


def test_nothing_is_left_unfinished():
    unfinished = [
        f"{name_of(path)}: {line.strip()}"
        for path in ALL_FILES if path != Path(__file__)
        for line in path.read_text().splitlines() if UNFINISHED.search(line)
    ]  # fmt: skip
    assert not unfinished, "finish it or leave it out"


def test_nothing_is_global():
    shared = [
        f"{name_of(path)}, line {node.lineno}"
        for path in ALL_FILES for node in ast.walk(TREES[path]) if isinstance(node, ast.Global)
    ]  # fmt: skip
    assert not shared, "pass the value instead of sharing it"
