"""A recipe of the user's own: loaded, set from words, sent to other processes, and refused where it can't be used."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from data_tools.errors import InputError
from data_tools.synthesis.recipe import Prompt
from data_tools.synthesis.recipes import configured, load
from data_tools.synthesis.recipes.rephrase import Rephrase
from tests.recipes import play, seed_of, written

ROOT = Path(__file__).parents[3]
DOCUMENTATION = ROOT / "docs" / "synthesis.md"
SEED = seed_of("vacuum reclaims the space of dead rows")


@pytest.fixture
def documented(tmp_path):
    """The recipe of the documentation, as a file."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    path = tmp_path / "summaries.py"
    path.write_text(next(block for block in blocks if "def write" in block))
    return path


def test_the_recipe_of_the_documentation_runs_and_has_fewer_than_40_lines(documented):
    assert len(documented.read_text().splitlines()) < 40
    recipe = configured(load(documented), {"sentences": "2"})
    asked, drafts = play(recipe, SEED, written("Space is reclaimed."), written("FALSE: it reclaims none."))
    assert SEED.text in asked[0][0].prompt
    assert "2 sentences" in asked[0][0].prompt
    assert "Space is reclaimed." in asked[1][0].prompt
    assert [draft.fault for draft in drafts] == ["false"]
    assert [draft.fault for draft in play(recipe, SEED, written("Space."), written("TRUE"))[1]] == [""]


def test_a_loaded_recipe_reaches_another_process(documented):
    recipe = configured(load(documented), {"sentences": "3"})
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()))"
    shown = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(recipe), capture_output=True, check=True)
    assert shown.stdout.decode().strip() == repr(recipe)


def test_a_recipe_that_was_edited_is_loaded_anew(documented):
    before = load(documented)
    documented.write_text(documented.read_text().replace("version: ClassVar[int] = 1", "version: ClassVar[int] = 2"))
    after = load(documented)
    assert (before.version, after.version) == (1, 2)
    assert before.code != after.code


OWN = """
from dataclasses import dataclass
from typing import ClassVar

@dataclass(frozen=True)
class Own:
    name: ClassVar[str] = "own"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "synthetic"
    draws: ClassVar[bool] = False
    count: int = 1
    def write(self, seed):
        yield from ()
        return []
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (OWN.replace("return []", "return ["), "SyntaxError"),
        ("\nimport no_such_module", r"own.py:2: found ModuleNotFoundError"),
        ("", "0 dataclasses with a method `write`"),
        (OWN + OWN.replace("Own", "Other"), "2 dataclasses"),
        (OWN.replace("@dataclass(frozen=True)", ""), "0 dataclasses"),
        (OWN.replace("= 1\n    kind", "= '1'\n    kind"), r"Own.version = '1', expected `version: ClassVar\[int\]"),
        (OWN.replace("    draws: ClassVar[bool] = False\n", ""), "Own.draws = None"),
        ("from data_tools.synthesis.recipe import Prompt\nPrompt.of('nothing')", "nothing: found no template"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_with_what_is_wrong(text, found, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(text)
    with pytest.raises(InputError, match=found):
        load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"own\.py: found no such file"):
        load(tmp_path / "own.py")


def test_settings_are_read_as_what_the_fields_are(tmp_path):
    path = tmp_path / "own.py"
    settings = "count: int = 1\n    share: float = 0.5\n    loud: bool = False\n    word: str | None = None"
    path.write_text(OWN.replace("count: int = 1", settings))
    own = configured(load(path), {"count": "3", "share": "0.1", "loud": "yes", "word": "a=b"})
    assert (own.count, own.share, own.loud, own.word) == (3, 0.1, True, "a=b")
    assert configured(Rephrase, {"template": "rephrase-terse"}).template == Prompt.of("rephrase-terse")


@pytest.mark.parametrize(
    ("settings", "found"),
    [({"counts": "1"}, "no such setting, expected one of count"),
     ({"count": "many"}, "'many', expected a value of type int"), ({}, "needed of recipe own: found no value")],
)  # fmt: skip
def test_a_setting_that_cannot_be_read_is_named(settings, found, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN if settings else OWN.replace("count: int = 1", "needed: int"))
    with pytest.raises(InputError, match=found):
        configured(load(path), settings)
