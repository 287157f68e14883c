"""Going on with a comparison: what is finished is not done again, and one run that fails stops no other."""

import json
from pathlib import Path
from typing import Any

import pytest

from data_tools.corpus.manifest import hash_of_input, seal
from data_tools.errors import InputError
from megatron_ext.compare.preparation import prepare
from megatron_ext.compare.runs import Comparison
from megatron_ext.compare.work import carry_out, missing, run_task
from megatron_ext.config import as_dict, load_run
from megatron_ext.sweep.tasks import RunFailed
from tests.megatron_ext.compare.support import comparison


@pytest.fixture
def found(place: Path, tmp_path: Path) -> Comparison:
    for entry in place.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    made = comparison(tmp_path, steps_per_epoch=int((place / "steps").read_text()))
    prepare(made)
    return made


class Commands:
    """Leaves what our commands leave, in no time, and notes what it was told to do."""

    def __init__(self, failing: str = ""):
        self.failing, self.done = failing, []

    def __call__(self, name: str, *words: str) -> int:
        options = [at for at, word in enumerate(words) if word.startswith("--")]
        given = {words[at]: words[at + 1] if at + 1 < len(words) else "" for at in options}
        if name == "train":
            return self._train(Path(words[0]), Path(given["--output"]))
        runs = [Path(word) for word in words[: options[0]]]
        self.done.append((name, *("/".join(run.parts[-2:]) for run in runs), *sorted(given)))
        if "--ensemble" in given:
            result = {"losses": [3.0 - k / 10 for k in range(len(runs))], "no_law": "too few"}
            Path(given["--ensemble"]).write_text(json.dumps(result))
            return 0
        for run in runs:
            (run / "results.json").write_text(json.dumps({"heldout": {"loss": 3.0, "tokens": 9}}))
        return 0

    def _train(self, run_file: Path, folder: Path) -> int:
        name = "/".join(folder.parts[-2:])
        self.done.append(("train", name))
        if name == self.failing:
            return 1
        config = load_run(run_file)
        folder.mkdir(parents=True)
        inputs = {f"sources.{name}": hash_of_input(source.corpus) for name, source in config.sources.items()}
        kept: dict[str, Any] = {"config.json": as_dict(config), "plan.json": {"inputs": inputs}, "events.jsonl": name}
        for file, value in kept.items():
            (folder / file).write_text(json.dumps(value))
        seal(folder, step="train", inputs=inputs, settings={}, counts={}, files=[folder / "events.jsonl"], seconds=0)
        return 0


def trained(commands: Commands) -> list[str]:
    return [words[1] for words in commands.done if words[0] == "train"]


def test_every_run_is_trained_once_and_all_are_evaluated_together(found):
    commands = Commands()
    assert carry_out(found, commands) == []
    names = [run.name for run in found.runs]
    assert trained(commands) == names
    evaluations = [words for words in commands.done if words[0] == "eval"]
    assert evaluations[0] == ("eval", *names, "--heldout", "--processes")
    assert [words[1:3] for words in evaluations[1:]] == [
        ("baseline/1234", "baseline/1235"), ("stitched/1234", "stitched/1235"),
    ]  # fmt: skip


def test_what_is_finished_is_not_done_again(found):
    carry_out(found, Commands())
    assert missing(found) == []
    assert carry_out(found, lambda *words: pytest.fail(f"{words} was started")) == []


def test_a_run_that_fails_stops_no_other_and_is_the_next_to_be_done(found):
    assert carry_out(found, Commands(failing="stitched/1235")) == ["stitched/1235"]
    assert not found.ensemble("stitched").exists()
    assert found.ensemble("baseline").exists()
    assert [run.name for run in missing(found)] == ["stitched/1235"]
    commands = Commands()
    assert carry_out(found, commands) == []
    assert trained(commands) == ["stitched/1235"]
    assert found.ensemble("stitched").exists()


def test_a_view_that_has_become_another_one_lets_its_runs_be_trained_again(found):
    """`train` then says what differs: nothing that took hours is removed unasked."""
    carry_out(found, Commands())
    manifest = json.loads((found.view("stitched") / "manifest.json").read_text())
    manifest["outputs"]["members.npy"] = "0" * 32
    (found.view("stitched") / "manifest.json").write_text(json.dumps(manifest))
    assert [run.name for run in missing(found)] == ["stitched/1234", "stitched/1235"]


def test_a_task_of_an_array_trains_and_measures_its_own_run(found):
    commands = Commands()
    run_task(found, "latent/1234", commands)
    assert commands.done == [("train", "latent/1234"), ("eval", "latent/1234", "--heldout", "--processes")]
    with pytest.raises(RunFailed, match="ended with status 1"):
        run_task(found, "baseline/1234", Commands(failing="baseline/1234"))
    with pytest.raises(InputError, match="found no run towers/1"):
        run_task(found, "towers/1", commands)
