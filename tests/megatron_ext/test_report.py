"""The report says what the files say, also of an experiment that is broken or not finished."""

import json

import pytest

from data_tools.errors import InputError
from megatron_ext.report import build_report
from megatron_ext.report.collect import gap_closed, read_curve


def budget(synthetic):
    source = {"kind": "windows", "corpus_tokens": 100, "unique": 100, "repeated": 60, "epochs": 1.6, "max_epochs": None}
    sources = {"real": source | {"trained": 160}}
    if synthetic:
        sources["synthetic"] = source | {"trained": 40, "unique": 40, "repeated": 0, "epochs": 0.9, "max_epochs": 1}
    return {"steps": 2, "samples": 8, "tokens": 200, "flops": 10**9, "parameters": 10**6, "sources": sources}


@pytest.fixture
def experiment(tmp_path):
    described = {"name": "small", "seed": 1, "budget_tokens": 200, "config": {}}
    (tmp_path / "experiment.json").write_text(json.dumps(described))
    for name, loss in {"baseline": 5.0, "sbp": 4.8, "oracle": 4.5}.items():
        run = tmp_path / "arms" / name
        run.mkdir(parents=True)
        (run / "plan.json").write_text(json.dumps({"fingerprint": "x", "budget": budget(name == "sbp")}))
        (run / "results.json").write_text(json.dumps({"heldout": {"loss": loss, "perplexity": 2.0, "tokens": 9}}))
        (run / "events.jsonl").write_text('{"event": "start", "step": 0}\n')
    (tmp_path / "synthetic").mkdir()
    sample = {"seed_id": "a", "seed_text": "seed", "text": "<script>alert(1)</script>"}
    (tmp_path / "synthetic" / "samples.json").write_text(json.dumps([sample]))
    return tmp_path


def test_the_share_of_the_gain_is_that_of_the_losses(experiment):
    report = build_report(experiment)
    assert report["gap_closed"] == pytest.approx(0.4)
    assert report["arms"]["sbp"]["tokens"] == {"unique": 140, "repeated": 60, "synthetic": 40, "trained": 200}
    assert "SBP closes 40% of the oracle" in (experiment / "report.html").read_text().replace("&#39;", "'")
    assert json.loads((experiment / "report.json").read_text()) == report


def test_no_share_is_claimed_where_the_oracle_gains_nothing():
    share, why = gap_closed({"baseline": 4.0, "sbp": 3.9, "oracle": 4.0})
    assert share is None
    assert "not better" in why


def test_a_synthetic_document_cannot_write_into_the_page(experiment):
    build_report(experiment)
    html = (experiment / "report.html").read_text()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_an_unfinished_experiment_says_what_is_missing(experiment):
    (experiment / "arms" / "oracle" / "results.json").unlink()
    report = build_report(experiment)
    assert report["gap_closed"] is None
    assert "pairs" in report["missing"]
    assert "Missing: " in (experiment / "report.html").read_text()


def test_a_folder_that_is_no_experiment_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"experiment\.json"):
        build_report(tmp_path)


def test_rewound_steps_are_told_once_and_a_torn_line_is_left_out(tmp_path):
    lines = ['{"event": "start"}', '{"event": "step", "tokens": 8, "loss": 3.0}', '{"event": "start"}']
    lines += ['{"event": "step", "tokens": 8, "loss": 2.5}', '{"event": "step", "tok']
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    assert read_curve(tmp_path / "events.jsonl") == ([[8, 2.5]], 1)
