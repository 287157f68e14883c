"""Arms that can't be compared are called out at the top of the report."""

import json

import numpy as np
import pytest

from megatron_ext.report import build_report
from tests.megatron_ext.report.experiments import asked, experiment, manifest, measured, write

WINDOWS = np.linspace(4, 6, 20)


@pytest.fixture
def matched(tmp_path):
    return experiment(tmp_path, losses={"baseline": WINDOWS, "sbp": WINDOWS - 0.2, "oracle": WINDOWS - 0.5})


def changed(path, **values):
    write(path, json.loads(path.read_text()) | values)


def flags(folder):
    found = build_report(folder)["flags"]
    page = (folder / "report.html").read_text()
    assert all(flag.split("'")[0] in page for flag in found)
    return " ".join(found)


def test_matched_arms_raise_no_flag(matched):
    assert flags(matched) == ""


def test_budgets_that_differ_are_named_with_their_sizes(matched):
    plan = matched / "arms" / "oracle" / "plan.json"
    changed(plan, budget=json.loads(plan.read_text())["budget"] | {"tokens": 400, "parameters": 7})
    told = flags(matched)
    assert "don't match in tokens trained: baseline 200; sbp 200; oracle 400" in told
    assert "don't match in parameters" in told


def test_settings_that_should_be_shared_are_flagged_and_data_is_not(matched):
    changed(matched / "arms" / "sbp" / "config.json", schedule={"peak_lr": 1})
    changed(matched / "arms" / "oracle" / "config.json", schedule={"peak_lr": 2})
    assert flags(matched) == "The arms differ in `schedule`; see their configs below."


def test_another_tokenizer_is_flagged(matched):
    for corpus, hashed in {"corpus of baseline": "a", "corpus of oracle": "b"}.items():
        write(matched / corpus / "manifest.json", manifest(outputs={"tokenizer.model": hashed}))
    assert "Tokenizers differ, so losses don't compare: baseline, real: a; oracle, real: b" in flags(matched)


def test_another_held_out_text_is_flagged_and_gives_no_share(matched):
    measured(matched / "arms" / "oracle", heldout=WINDOWS - 0.5, hash="other")
    report = build_report(matched)
    assert "Held-out text was not measured alike" in " ".join(report["flags"])
    assert report["gap_closed"] is None
    assert "different held-out text" in report["gap_closed_why"]


def test_benchmarks_asked_in_other_ways_are_flagged_and_stand_without_differences(matched):
    for name, items in {"baseline": 10, "sbp": 10, "oracle": 12}.items():
        asked(matched / "arms" / name, "sciq", [True] * items)
    assert "sciq was not measured alike" in flags(matched)
    [row] = [row for row in build_report(matched)["benchmarks"] if row["name"] == "sciq"]
    assert row["plain"] == {"baseline": 1.0, "sbp": 1.0, "oracle": 1.0}


def test_an_evaluation_of_an_earlier_checkpoint_is_flagged(matched):
    measured(matched / "arms" / "sbp", heldout=WINDOWS, checkpoint="step_00000001")
    assert "sbp was evaluated at step_00000001, not at its last step, 2" in flags(matched)


def test_a_run_that_is_not_finished_is_flagged(matched):
    (matched / "arms" / "sbp" / "manifest.json").unlink()
    assert "sbp has figures, but its run is not finished" in flags(matched)


def test_synthetic_documents_that_are_read_again_are_flagged(matched):
    plan = matched / "arms" / "sbp" / "plan.json"
    budget = json.loads(plan.read_text())["budget"]
    budget["sources"]["synthetic"]["repeated"] = 1000
    changed(plan, budget=budget)
    assert "sbp reads 1,000 synthetic tokens more than once" in flags(matched)


def test_a_corpus_that_is_no_go_or_holds_held_out_text_is_flagged(matched):
    overlap = {"value": 0.1, "low": 0.05, "high": 0.2, "count": 3, "of": 30}
    write(matched / "quality" / "quality.json", {
        "documents": 30, "judge": None, "paper": {}, "verdict": {"go": False, "reasons": ["repetition 0.3"]},
        "measures": {"heldout_overlap": overlap},
    })  # fmt: skip
    told = flags(matched)
    assert "no go: repetition 0.3" in told
    assert "3 of 30 synthetic documents share 13 words in a row with a held-out document" in told
