"""The threshold of a run that was measured, found in its report, and what can't be found in one."""

import json
from pathlib import Path

import pytest

from data_tools.errors import InputError
from megatron_ext.knowledge.threshold import Threshold, read_threshold

REPORT = {
    "runs": {"small": {"tokens_per_step": 262_144}, "large": {"tokens_per_step": 4_194_304}},
    "learnability_thresholds": [
        {"run": "small", "group": "paraphrased", "kind": "semantic", "steps": 900.5, "tokens": 1},
        {"run": "small", "group": "duplicated", "kind": "memorisation", "steps": 400, "tokens": 1},
        {"run": "large", "group": "duplicated", "kind": "semantic", "steps": 5000.0, "tokens": 1},
        {"run": "large", "group": "once", "kind": "semantic", "steps": None, "tokens": None},
    ],
}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "knowledge.json"
    path.write_text(json.dumps(REPORT))
    return path


def test_the_least_threshold_of_a_report_is_taken_with_the_batch_it_was_measured_in(report: Path) -> None:
    found = read_threshold(report)
    assert (found.steps, found.tokens_per_step) == (400.0, 262_144)
    assert found.origin == "memorisation probes of the passages shown as duplicated to small"


def test_a_group_and_a_kind_of_probe_choose_among_thresholds(report: Path) -> None:
    assert read_threshold(report, group="paraphrased").steps == 900.5
    assert read_threshold(report, probe="semantic").steps == 900.5
    found = read_threshold(report, group="duplicated", probe="semantic")
    assert isinstance(found, Threshold)
    assert (found.steps, found.tokens_per_step) == (5000.0, 4_194_304)


def test_a_threshold_of_the_same_batch_is_taken_before_one_of_another(report: Path) -> None:
    assert read_threshold(report, tokens_per_step=4_194_304).steps == 5000
    assert read_threshold(report, group="paraphrased", tokens_per_step=4_194_304).steps == 900.5
    assert read_threshold(report, tokens_per_step=64).steps == 400


def test_a_threshold_that_was_not_measured_is_refused_and_those_that_were_are_named(report: Path) -> None:
    with pytest.raises(InputError, match="no learnability threshold of once semantic") as refused:
        read_threshold(report, group="once", probe="semantic")
    assert "paraphrased semantic; duplicated memorisation; duplicated semantic" in str(refused.value)


@pytest.mark.parametrize(("text", "found"), [("{", "no JSON"), ("[]", "other JSON"), ('{"runs": {}}', "other JSON")])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "knowledge.json"
    path.write_text(text)
    with pytest.raises(InputError, match=found):
        read_threshold(path)
    with pytest.raises(InputError, match=r"other\.json"):
        read_threshold(tmp_path / "other.json")


def test_a_report_in_which_nothing_was_forgotten_gives_no_threshold(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.json"
    path.write_text(json.dumps(REPORT | {"learnability_thresholds": REPORT["learnability_thresholds"][-1:]}))
    with pytest.raises(InputError, match="--threshold"):
        read_threshold(path)
