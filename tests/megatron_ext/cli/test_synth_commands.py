"""The `synth` commands do what their help shows: its examples run here, on a real model that recites one text."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import read_manifest
from megatron_ext.cli.main import app, main
from tests.reciting_model import make_reciting_model
from tests.support import ROOT, make_corpus

ANSWER = """## Make flashcards
Turn statements into short prompts.
## Teach somebody
Explain each command aloud.
Question: Which statement removes rows?
Answer: DELETE does that.
Explanation: It takes away whatever a condition matches."""
"""Strategies, questions and records at once, so that every recipe finds in it what it asks for."""

RECIPE = '''
"""Lists."""

from dataclasses import dataclass
from typing import ClassVar

from data_tools.synthesis.recipe import Draft, Prompt, Seed, Steps
from data_tools.synthesis.requests import Sampling


@dataclass(frozen=True)
class Lists:
    name: ClassVar[str] = "lists"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "synthetic"
    draws: ClassVar[bool] = False

    questions: int = 1
    sampling: Sampling = Sampling()

    def write(self, seed: Seed) -> Steps:
        prompt = Prompt("List $count facts of $document")
        answers = yield [prompt.ask(self.sampling, document=seed.text, count=self.questions)]
        return [Draft.of(answer) for answer in answers]
'''
DOCUMENTS = 6
MADE = {"sbp": 64, "rephrase": 6, "latent-thoughts": 48, "active-reading": 12, "qa": 6, "focal": 6, "paraphrase": 24,
        "repeat": 24, "custom": 6}  # fmt: skip
"""Command -> documents that its first example makes."""


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """The folders and files that the examples name."""
    folder = tmp_path_factory.mktemp("ground")
    corpus = make_corpus(folder, documents=DOCUMENTS)
    for name in ("work/corpus", "runs/demo/corpus_subset"):
        shutil.copytree(corpus, folder / name)
    for name in ("models/instruct", "runs/demo/synthesizer"):
        make_reciting_model(folder / name, ANSWER)
    (folder / "my_recipe.py").write_text(RECIPE)
    return folder


@pytest.fixture
def here(ground, tmp_path, monkeypatch):
    """A copy of the ground to work in."""
    shutil.copytree(ground, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def examples_of(command, capsys):
    """Words of each example in the help, without the program's name."""
    main(["synth", command, "--help"])
    joined = re.sub(r"\\\n\s+", "", capsys.readouterr().out)
    return [shlex.split(words) for words in re.findall(r"Example: megatron-ext (.*)", joined)]


@pytest.mark.parametrize("command", MADE)
def test_the_examples_in_the_help_run(command, here, capsys):
    examples = [words for words in examples_of(command, capsys) if "--engine" not in words]
    assert examples
    for words in examples:
        assert main(words) == 0, capsys.readouterr().err
    output = examples[0][examples[0].index(command) + 2 + (command == "custom")]
    manifest = read_manifest(here / output)
    assert manifest.settings["recipe"] == ("lists" if command == "custom" else command)
    assert manifest.counts["documents"] == len(IndexedCorpus(here / output / CORPUS_PREFIX)) == MADE[command]
    assert (here / output / "samples.html").is_file()


@pytest.mark.parametrize("place", ["README.md", "docs/synthesis.md", *MADE])
def test_commands_that_are_shown_are_read_by_the_parser(place, capsys):
    if place in MADE:
        shown = examples_of(place, capsys)
    else:
        text = (ROOT / place).read_text().replace("\\\n", "")
        lines = re.findall(r"^(?:srun )?megatron-ext (synth .*)$", text, re.MULTILINE)
        shown = [shlex.split(line, comments=True) for line in lines]
    assert shown
    commands = typer.main.get_command(app).commands["synth"].commands
    for _, name, *words in shown:
        assert commands[name].make_context(name, words)


def test_a_packaged_prompt_is_written_out_edited_and_used(here, capsys):
    assert main(["synth", "templates"]) == 0
    assert "rephrase-textbook: $document" in capsys.readouterr().out
    assert main(["synth", "templates", "rephrase-wikipedia", "mine.txt"]) == 0
    mine = Path("mine.txt")
    mine.write_text("Say it in verse: $document")
    rephrase = ["synth", "rephrase", "work/corpus", "out", "--model", "models/instruct", "--template", "mine.txt"]
    assert main(rephrase) == 0
    assert read_manifest(here / "out").settings["recipe_settings"]["template"] == "Say it in verse: $document"
    assert main(["synth", "templates", "rephrase-wikipedia", "mine.txt"]) == 2
    assert mine.read_text() == "Say it in verse: $document"


def test_options_of_sampling_and_filters_reach_the_manifest(here, capsys):
    words = ["synth", "rephrase", "work/corpus", "out", "--model", "models/instruct", "--temperature", "0", "--top-p",
             "0.5", "--max-new-tokens", "9", "--skip-filter", "truncated", "--documents", "2", "--json"]  # fmt: skip
    assert main(words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["settings"]["recipe_settings"]["sampling"] == {"temperature": 0, "top_p": 0.5, "max_tokens": 9}
    assert "truncated" not in printed["settings"]["filters"]["apply"]
    assert printed["counts"]["truncated"] == printed["counts"]["documents"] == 2


def test_the_first_step_of_two_has_a_limit_of_its_own(here):
    words = ["synth", "active-reading", "work/corpus", "--model", "models/instruct", "--documents", "2"]
    assert main([*words, "whole"]) == 0
    assert main([*words, "cut", "--plan-tokens", "6"]) == 0
    cut = read_manifest(here / "cut")
    assert cut.settings["recipe_settings"]["planning"]["max_tokens"] == 6
    assert cut.settings["recipe_settings"]["sampling"]["max_tokens"] == 4096
    assert read_manifest(here / "whole").counts["documents"] == 4
    assert cut.counts["documents"] == 2, "only the first of the two strategies is within the limit"


def test_a_budget_ends_the_work_and_may_be_written_as_75e9(here):
    sbp = ["synth", "sbp", "work/corpus", "out", "--model", "models/instruct", "--budget-tokens"]
    assert main([*sbp, "1e3"]) == 0
    assert read_manifest(here / "out").settings["budget_tokens"] == 1000
    assert 1000 <= read_manifest(here / "out").counts["tokens"] < 1200


NEEDED = ["work/corpus", "out", "--model", "models/instruct"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rephrase", *NEEDED, "--documents", "2.5"], "whole number"),
        (["rephrase", *NEEDED, "--budget-tokens", "many"], "75e9"),
        (["rephrase", *NEEDED[:2]], "--model"),
        (["rephrase", *NEEDED[:3], "no/such/model"], "no/such/model"),
        (["rephrase", *NEEDED, "--skip-filter", "rude"], "rude"),
        (["rephrase", *NEEDED, "--style", "terse", "--template", "mine.txt"], "both"),
        (["rephrase", *NEEDED, "--template", "gone.txt"], "gone.txt"),
        (["sbp", *NEEDED], "--documents or --budget-tokens"),
        (["custom", "my_recipe.py", *NEEDED, "--set", "questions"], "KEY=VALUE"),
        (["custom", "gone.py", *NEEDED], "gone.py"),
        (["templates", "sonnet"], "sonnet"),
        (["repeat", "no/corpus", "out"], "no/corpus"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name_before_anything_is_written(words, said, here, capsys):
    assert main(["synth", *words]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message
    assert not (here / "out").exists()
