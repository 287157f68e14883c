"""The report says what the files say, also of an experiment that is broken or not finished."""

import json
import re

import pytest

from data_tools.errors import InputError
from megatron_ext.report import build_report
from megatron_ext.report.collect import gap_closed, read_curve
from megatron_ext.report.page import answer, filter_rows


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
    (tmp_path / "corpus_synthetic").mkdir()
    made = [{"name": "a#sbp-0-0", "text": "<script>alert(1)</script>"}, {"name": "a#sbp-0-1", "text": "another"}]
    sample = {"seed_name": "a", "seed_text": "seed", "documents": made, "dropped": []}
    (tmp_path / "corpus_synthetic" / "samples.jsonl").write_text(line(sample))
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


def test_every_synthetic_document_of_a_sample_stands_beside_its_seed(experiment):
    shown = [(sample["seed_name"], sample["name"]) for sample in build_report(experiment)["samples"]]
    assert shown == [("a", "a#sbp-0-0"), ("a", "a#sbp-0-1")]
    assert "synthetic: a#sbp-0-1" in (experiment / "report.html").read_text()


def test_an_unfinished_experiment_says_what_is_missing(experiment):
    (experiment / "arms" / "oracle" / "results.json").unlink()
    report = build_report(experiment)
    assert report["gap_closed"] is None
    assert "pairs" in report["missing"]
    assert "Missing: " in (experiment / "report.html").read_text()


def test_a_folder_that_is_no_experiment_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"experiment\.json"):
        build_report(tmp_path)


def test_a_folder_whose_json_is_damaged_is_refused_by_name(experiment):
    (experiment / "arms" / "oracle" / "plan.json").write_text('{"budget": ')
    with pytest.raises(InputError, match=r"oracle/plan\.json"):
        build_report(experiment)


def test_losses_on_different_held_out_text_give_no_share(experiment):
    results = {"heldout": {"loss": 4.5, "perplexity": 2.0, "tokens": 10}}
    (experiment / "arms" / "oracle" / "results.json").write_text(json.dumps(results))
    report = build_report(experiment)
    assert report["gap_closed"] is None
    assert "different held-out text" in report["gap_closed_why"]


def test_an_oracle_behind_the_baseline_is_said_to_be_worse(experiment):
    results = {"heldout": {"loss": 5.25, "perplexity": 2.0, "tokens": 9}}
    (experiment / "arms" / "oracle" / "results.json").write_text(json.dumps(results))
    sentences = " ".join(answer(build_report(experiment)))
    assert "no gain to take a share of" in sentences
    assert "SBP is better than the baseline by 0.2000 nats" in sentences
    assert "the oracle is worse than the baseline by 0.2500 nats" in sentences


def test_all_compute_of_sbp_is_told_the_baseline_of_its_synthesizer_too(experiment):
    assert "cost is not known yet" in write(experiment)
    (experiment / "cost.json").write_text(json.dumps({"tuning_flops": 5 * 10**8, "synthesis_flops": 10**9}))
    assert "3.50e+09" in write(experiment)
    assert "3.50 times the baseline" in write(experiment).replace("&#39;", "'")


def test_what_a_filter_dropped_is_a_share_of_what_came_in():
    pairs = {"candidates": 200, "dropped_similarity": 50, "dropped_too_long": 0, "pairs": 150}
    assert filter_rows(pairs)[:2] == [("candidates", 200, ""), ("dropped similarity", 50, "25.0%")]
    drafts = {"documents": 3, "tokens": 90, "drafts": 4, "kept": 3, "requests": 4, "dropped_short": 1}
    assert filter_rows(drafts)[:2] == [("drafts", 4, ""), ("dropped short", 1, "25.0%")]
    assert [what for what, *_ in filter_rows(drafts)[2:]] == ["documents", "kept"]
    assert ("dropped too long", 1, "25.0%") in filter_rows({"documents": 3, "dropped_too_long": 1})


def test_the_page_needs_no_network(experiment):
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", write(experiment))


def test_commands_and_hashes_are_told_for_every_stage(experiment):
    manifest = {"counts": {"read": 2}, "seconds": 1.0, "command": "data clean a", "versions": {"python": "3"}}
    (experiment / "clean").mkdir()
    files = {"inputs": {"0": "aa"}, "outputs": {"documents.jsonl.zst": "bb"}, "settings": {}}
    (experiment / "clean" / "manifest.json").write_text(json.dumps(manifest | files))
    report = build_report(experiment)
    assert report["commands"] == {"clean": "data clean a"}
    assert report["hashes"]["clean"] == {"inputs": {"0": "aa"}, "outputs": {"documents.jsonl.zst": "bb"}}


def test_steps_trained_again_are_told_once_and_a_torn_line_is_left_out(tmp_path):
    events = [start(0), step(1, 3.0), step(2, 2.9), step(3, 2.8), start(1), step(2, 2.5)]
    (tmp_path / "events.jsonl").write_text("".join(map(line, events)) + '{"event": "step", "tok')
    curve = read_curve(tmp_path / "events.jsonl")
    assert curve.points == [[8, 3.0], [16, 2.5]]
    assert curve.restarted_at == [8]


def test_a_damaged_line_that_no_kill_explains_is_refused(tmp_path):
    (tmp_path / "events.jsonl").write_text(line(start(0)) + "torn\n" + line(step(1, 3.0)))
    with pytest.raises(InputError, match=r"events\.jsonl:2"):
        read_curve(tmp_path / "events.jsonl")


def write(experiment):
    build_report(experiment)
    return (experiment / "report.html").read_text()


def start(at):
    return {"event": "start", "step": at}


def step(number, loss):
    return {"event": "step", "step": number, "tokens": 8 * number, "loss": loss}


def line(event):
    return json.dumps(event) + "\n"
