"""A recipe of the user's own: the one class of a Python file that says what a recipe has to say.

`load` finds it and `configured` sets its fields from words of the command line. A loaded recipe can be sent to other
processes: they load the file themselves.
"""

import copyreg
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, get_type_hints

from data_tools.errors import InputError
from data_tools.files import content_hash
from data_tools.synthesis.recipe import Prompt, Recipe

SAYS = {"name": str, "version": int, "kind": str, "draws": bool}
"""Class variables of a recipe."""
TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def load(path: Path) -> type[Recipe]:
    """The recipe of a Python file; its class gets `code`, the hash of the file.

    Raises:
        InputError: the file is missing, can't be run, or holds no recipe or several.
    """
    module = _module(path)
    written_here = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
    recipes = [each for each in written_here if is_dataclass(each) and callable(getattr(each, "write", None))]
    if len(recipes) != 1:
        _refuse(path, f"{len(recipes)} dataclasses with a method `write`", "exactly one")
    [recipe] = recipes
    for name, kind in SAYS.items():
        if type(getattr(recipe, name, None)) is not kind:
            _refuse(path, f"{recipe.__name__}.{name} = {getattr(recipe, name, None)!r}",
                    f"`{name}: ClassVar[{kind.__name__}] = ...`")  # fmt: skip
    recipe.code = content_hash(path)

    def reduce(own: Any) -> tuple[Any, ...]:
        return _rebuilt, (path.absolute(), {field.name: getattr(own, field.name) for field in fields(own)})

    copyreg.pickle(recipe, reduce)
    return recipe


def configured(recipe: type[Recipe], settings: Mapping[str, str]) -> Recipe:
    """A recipe with some of its fields set from text: numbers, words, yes or no, and templates by file or name.

    Raises:
        InputError: there is no such field, a value can't be read, or a field that has no default isn't set.
    """
    known = {field.name: field for field in fields(recipe)}
    hints = get_type_hints(recipe)
    for name in settings:
        if name not in known:
            _wrong_setting(recipe, name, "no such setting", f"one of {', '.join(known) or 'none'}")
    for name, field in known.items():
        if name not in settings and _needed(field):
            _wrong_setting(recipe, name, "no value", "one, since it has no default")
    return recipe(**{name: _value(recipe, name, hints[name], text) for name, text in settings.items()})


def _value(recipe: type[Recipe], name: str, hint: Any, text: str) -> Any:
    readers: dict[Any, Callable[[str], Any]] = {
        str: str, int: int, float: float, bool: lambda word: TRUTHS[word.lower()], Path: Path, Prompt: Prompt.of,
    }  # fmt: skip
    kinds = [kind for kind in getattr(hint, "__args__", (hint,)) if kind in readers]
    if not kinds:
        _wrong_setting(recipe, name, f"a {hint}", "a number, a word, yes or no, or a template")
    try:
        return readers[kinds[0]](text)
    except (ValueError, KeyError):
        _wrong_setting(recipe, name, repr(text), f"a value of type {kinds[0].__name__}")


def _needed(field: Field) -> bool:
    return field.init and field.default is MISSING and field.default_factory is MISSING


def _rebuilt(path: Path, settings: dict[str, Any]) -> Recipe:
    return load(path)(**settings)


def _module(path: Path) -> ModuleType:
    """The file, run once for each content that it has had."""
    if not path.is_file():
        _refuse(path, "no such file", "a Python file with a recipe")
    name = f"recipe_{content_hash(path)[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if not spec or not spec.loader:
        _refuse(path, "no Python file", "a name that ends in .py")
    module = sys.modules[name] = module_from_spec(spec)  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except InputError:
        del sys.modules[name]
        raise  # a template of the file's own that is missing says so itself
    except Exception as error:
        del sys.modules[name]
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = f":{own[-1].lineno}" if own else ""
        _refuse(Path(f"{path}{line}"), f"{type(error).__name__}: {error}", "a file that Python can run")
    return module


def _refuse(path: Path, found: str, expected: str) -> NoReturn:
    raise InputError(
        where=str(path), found=found, expected=expected,
        fix="See \"A recipe of your own\" in docs/synthesis.md for a whole one.",
    )  # fmt: skip


def _wrong_setting(recipe: type[Recipe], name: str, found: str, expected: str) -> NoReturn:
    raise InputError(
        where=f"setting {name} of recipe {recipe.name}", found=found, expected=expected, fix=f"--set {name}=VALUE"
    )
