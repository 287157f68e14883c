"""What `knowledge intervals` says of a run: sentences, a page, a file for programs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from megatron_ext.cli.main import main
from megatron_ext.knowledge.intervals import SYNTHETIC, TOGETHER, intervals
from megatron_ext.knowledge.intervals_page import answer, histogram, notes, page, share, short, tokens
from megatron_ext.knowledge.threshold import Threshold
from tests.megatron_ext.knowledge.family import make_family, run_over
from tests.support import run_settings

ROOT = Path(__file__).parents[3]
SOURCES = {"real": {"corpus": "corpus"}, "said": {"corpus": "rephrased"}, "asked": {"corpus": "asked"}}
FACTS = [{"train_context": f"passage {n}", "mem_input": ["passage"], "mem_target": [str(n)]} for n in range(3)]
"""Two are shown, one is not."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_family(tmp_path_factory.mktemp("family"))


@pytest.fixture(scope="module")
def run_file(folder: Path) -> Path:
    (folder / "facts.json").write_text(json.dumps(FACTS))
    settings = run_settings(folder / "corpus", steps=1)
    settings["batch"] |= {"sequence_length": 16}
    settings["sources"] = {name: {"corpus": str(folder / name), "tokens": 1600} for name in ("corpus", "rephrased")}
    settings["knowledge"] = {
        "facts": str(folder / "facts.json"), "steps": [0, 4, 20], "groups": {"duplicated": "0", "once": "2"},
    }  # fmt: skip
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    return intervals(run_over(folder, **SOURCES), threshold=Threshold(9, "as given", 64))


def test_the_answer_begins_with_what_will_not_be_learnt(found: dict[str, Any]) -> None:
    judged, first = found["kinds"][TOGETHER]["verdict"], answer(found)[0]
    assert first.startswith(f"This run will not learn {share(judged['not_learnt'])} of its source documents")
    assert f"{judged['beyond']} further apart than the threshold of 9 steps" in first


def test_without_a_threshold_nothing_is_said_to_be_learnt(folder: Path) -> None:
    said = " ".join(answer(intervals(run_over(folder, **SOURCES))))
    assert "will not learn" not in said
    assert "No threshold was given" in said


def test_a_threshold_of_another_batch_is_noted(found: dict[str, Any]) -> None:
    assert "64 tokens a step, this run has 128" in " ".join(notes(found))
    assert len(notes(found | {"threshold": found["threshold"] | {"tokens_per_step": 128}})) == 1


def test_every_document_stands_in_the_histogram_once(found: dict[str, Any]) -> None:
    drawn = histogram(found)
    low, high = drawn["layout"]["xaxis"]["range"]
    assert [trace["name"] for trace in drawn["traces"]] == list(found["kinds"])
    for trace in drawn["traces"]:
        assert sum(trace["y"]) == pytest.approx(1)
        assert all(
            low <= x - width / 2 and x + width / 2 <= high for x, width in zip(trace["x"], trace["width"], strict=True)
        )
    assert [trace["name"] for trace in drawn["traces"] if trace["visible"] is True] == ["real", SYNTHETIC, TOGETHER]
    [threshold] = drawn["layout"]["shapes"]
    assert low < threshold["x0"] < high


def test_a_run_that_shows_nothing_twice_has_a_page_too(folder: Path) -> None:
    once = intervals(run_over(folder, steps=1, real={"corpus": "corpus"}), threshold=Threshold(10**6, "as given"))
    assert "none is shown twice" in answer(once)[1]
    assert histogram(once)["layout"]["shapes"] == []
    assert "shown twice" in page("short", once)


def test_names_of_documents_and_runs_are_text_on_the_page(found: dict[str, Any]) -> None:
    html = page("<run>", found | {"worst": [found["worst"][0] | {"name": "<script>x"}]})
    assert "&lt;run&gt;" in html
    assert "<script>x" not in html


def test_numbers_are_short_and_a_share_is_not_rounded_to_none_or_all() -> None:
    assert [short(value) for value in (None, 7.0, 9.876, 1234.5)] == ["–", "7", "9.88", "1,234"]
    assert [tokens(value) for value in (None, 999, 1500, 2.34e11)] == ["–", "999", "1.5K", "234B"]
    assert [share(value) for value in (0.0, 1e-5, 0.25, 0.99999, 1.0)] == ["0%", "< 0.1%", "25.0%", "> 99.9%", "100%"]


def test_the_command_writes_a_page_and_a_file_and_prints_the_same_for_a_program(
    run_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["knowledge", "intervals", str(run_file), str(tmp_path / "out"), "--threshold", "5"]
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "out" / "intervals.json").read_text()) == printed
    assert {group: of["showings"]["mean"] for group, of in printed["facts"].items()} == {
        "duplicated": 3, "once": 1, "not shown": 0,
    }  # fmt: skip
    assert printed["facts"]["duplicated"]["interval"]["mean"] == 10
    assert [of["verdict"]["not_learnt"] for of in printed["facts"].values()] == [1, 1, 1]
    assert "Passages of the knowledge section" in (tmp_path / "out" / "intervals.html").read_text()
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "This run will not learn" in said
    assert "Shown most rarely: manual/" in said


def test_two_thresholds_or_a_choice_among_none_are_bad_input(
    run_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in (["--threshold", "5", "--threshold-from", "knowledge.json"], ["--group", "once"]):
        assert main(["knowledge", "intervals", str(run_file), *options]) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_the_command_needs_no_torch(run_file: Path) -> None:
    script = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from megatron_ext.cli.main import main\n"
        f"sys.exit(main(['knowledge', 'intervals', {str(run_file)!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
