"""What an experiment is judged by is asked for in its file, checked before anything is done, and heeded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from data_tools.errors import InputError
from megatron_ext.cli.demo_judging import require_judging
from megatron_ext.cli.demo_stages import artifacts_of, stages_of
from megatron_ext.config import ExperimentConfig, load_experiment
from tests.support import ROOT

DEMO = ROOT / "configs" / "experiments" / "demo.yaml"
BOUNDS = "repetition: 0.5\n"


@pytest.fixture
def described(tmp_path):
    """A function: changes -> the demo's experiment with them, in a file of its own."""

    def write(**changes) -> ExperimentConfig:
        settings = yaml.safe_load(DEMO.read_text())
        settings["model"] = str(DEMO.parent / settings["model"])
        settings["corpus"] = [str(DEMO.parent / path) for path in settings["corpus"]]
        (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(settings | changes))
        return load_experiment(tmp_path / "experiment.yaml")

    (tmp_path / "bounds.yaml").write_text(BOUNDS)
    (tmp_path / "judged.yaml").write_text(BOUNDS + "non_factual: 0.2\n")
    (tmp_path / "task.jsonl").write_text('{"context": "a", "choices": ["b", "c"], "answer": 0}\n')
    return write


def test_stages_that_nothing_asks_for_are_left_out(described):
    assert {"mideval", "longer"}.isdisjoint(stages_of(described()))
    asked = described(flops_matched=True, mideval={"documents": 8, "threshold": "bounds.yaml"})
    stages = stages_of(asked)
    assert stages["synthesis"].needs == ("synthesizer", "mideval")
    assert "longer" in stages["evaluation"].needs
    assert {"mideval/go", "arms/baseline_flops", "quality"} <= set(artifacts_of(asked))


def test_quality_takes_a_gpu_only_where_a_model_judges_on_it(described):
    here = {"judge": {"folder": "judge", "engine": "vllm"}}
    far = {"judge": {"model": "judge", "url": "http://gpu7:8000/v1"}}
    takes = [stages_of(described(quality=quality))["quality"].takes for quality in ({}, here, far)]
    assert takes == ["cpus", "gpu", "cpus"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"evaluation": {"tasks": ["no.jsonl"]}}, r"no\.jsonl"),
        ({"quality": {"judge": {"folder": "no"}}}, r"quality\.judge\.folder"),
        ({"quality": {"benchmarks": ["no.jsonl"]}}, r"no\.jsonl"),
        ({"mideval": {"documents": 8, "threshold": "no.yaml"}}, r"no\.yaml"),
        ({"mideval": {"documents": 8, "threshold": "judged.yaml"}}, r"non_factual.*no judge"),
    ],
)
def test_what_could_not_be_judged_in_the_end_is_refused_in_the_beginning(described, changes, named):
    with pytest.raises(InputError, match=named):
        require_judging(described(**changes))


def test_what_can_be_judged_is_not_refused(described, tmp_path):
    (tmp_path / "judge").mkdir()
    require_judging(described(
        evaluation={"tasks": ["task.jsonl"]}, mideval={"documents": 8, "threshold": "judged.yaml"},
        quality={"judge": {"folder": "judge"}, "benchmarks": ["task.jsonl"]},
    ))  # fmt: skip


@pytest.mark.parametrize("judge", [{}, {"folder": "a", "model": "b", "url": "c"}, {"model": "b"}, {"url": "c"}])
def test_a_judge_is_a_folder_or_a_server(described, judge):
    with pytest.raises(InputError, match="a folder, or model and url of a server"):
        described(quality={"judge": judge})


@pytest.mark.slow
def test_a_small_synthesis_that_is_no_go_ends_the_experiment_before_the_large_one(described, tmp_path):
    """The rest of the way is that of the demo; bounds that are kept let it go on where it stopped."""
    small = {"documents": 64, "max_new_tokens": 16}
    asked = {"mideval": {"documents": 8, "threshold": "bounds.yaml"}, "synthesis": small}
    asked["tuning"] = yaml.safe_load(DEMO.read_text())["tuning"] | {"tokens": 2 * 8192}
    described(**asked, budget_tokens=2 * 4096, evaluation={"tasks": ["task.jsonl"], "every": 1})
    (tmp_path / "bounds.yaml").write_text("distinct_1: {at_least: 1.1}\n")
    first = demo(tmp_path)
    assert first.returncode == 1
    assert "no go for the large synthesis: distinct_1" in first.stderr
    folder = tmp_path / "folder"
    assert not (folder / "corpus_synthetic").exists()

    (tmp_path / "bounds.yaml").write_text("distinct_1: {at_least: 0.0001}\n")
    second = demo(tmp_path)
    assert second.returncode == 0, second.stderr[-2000:]
    report = json.loads((folder / "report.json").read_text())
    assert report["mideval"]["verdict"]["go"]
    assert report["missing"] == report["broken"] == []
    assert {row["name"] for row in report["benchmarks"]} == {"heldout", "task"}
    assert [tokens for tokens, _ in report["arms"]["sbp"]["evaluations"]["task/acc"]] == [0, 4096, 8192]


def demo(place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "megatron_ext", "demo", "--experiment", str(place / "experiment.yaml"),
         "--output", str(place / "folder")],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=1200,
    )  # fmt: skip
