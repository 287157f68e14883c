"""The report says what the files say, also of an experiment that is broken or not finished."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from data_tools.errors import InputError
from megatron_ext.report import build_report
from megatron_ext.report.answer import answer
from megatron_ext.report.arms import read_curve
from megatron_ext.report.files import Files
from megatron_ext.report.tables import filter_rows
from tests.megatron_ext.report.experiments import asked, experiment, manifest, measured, start, step, write, write_lines

HARD = np.random.default_rng(0).normal(0, 1, 60)
LOSSES = {"baseline": 5.0, "sbp": 4.8, "oracle": 4.5}


@pytest.fixture
def small(tmp_path):
    rng = np.random.default_rng(1)
    losses = {name: loss - HARD.mean() + HARD + (own := rng.normal(0, 0.05, 60)) - own.mean()
              for name, loss in LOSSES.items()}  # fmt: skip
    folder = experiment(tmp_path / "small", losses=losses)
    made = [{"name": "a#sbp-0-0", "text": "<script>alert(1)</script>"}, {"name": "a#sbp-0-1", "text": "another"}]
    write_lines(folder / "corpus_synthetic" / "samples.jsonl",
                [{"seed_name": "a", "seed_text": "seed", "documents": made, "dropped": []}])  # fmt: skip
    return folder


def answered(folder, *others):
    return " ".join(answer(build_report(folder, others)))


def html(folder):
    build_report(folder)
    return (folder / "report.html").read_text().replace("&#39;", "'")


def test_the_share_of_the_gain_is_that_of_the_losses_with_an_interval_over_windows(small):
    report = build_report(small)
    assert report["gap_closed"] == pytest.approx(0.4)
    share = report["gains"]["loss"]["share"]
    assert 0.3 < share["low"] < 0.4 < share["high"] < 0.5
    assert report["arms"]["sbp"]["tokens"] == {"unique": 140, "repeated": 60, "synthetic": 40, "trained": 200}
    assert "SBP closes 40% (95%: " in html(small)
    assert json.loads((small / "report.json").read_text()) == json.loads(json.dumps(report))


def test_data_efficiency_is_read_off_between_the_amounts_of_real_data(small):
    efficiency = build_report(small)["gains"]["loss"]["efficiency"]
    assert efficiency["value"] == pytest.approx(4**0.4)  # the oracle has four times the baseline's tokens
    assert efficiency["low"] < efficiency["value"] < efficiency["high"]
    assert "worth 1.74 times" in answered(small)


def test_accuracies_are_answered_first_in_the_papers_layout_beside_its_figures(small):
    right = {"baseline": 30, "sbp": 40, "oracle": 50}
    for name, count in right.items():
        asked(small / "arms" / name, "sciq", [n < count for n in range(100)])
        asked(small / "arms" / name, "mine", [n < count for n in range(100)])
    report = build_report(small)
    rows = {row["name"]: row for row in report["benchmarks"]}
    assert rows["sciq"]["title"] == "SciQ (0-shot)"
    assert rows["sciq"]["paper"]["1T"] == [93.2, 0.8, 0.5]
    assert rows["sciq"]["sbp"]["value"] == pytest.approx(0.1)
    assert rows["mine"]["paper"] is None
    assert rows["average"]["oracle"]["value"] == pytest.approx(0.2)
    assert answer(report)[0].startswith("SBP closes 50% (95%: ")
    assert report["gains"]["accuracy"]["over"] == ["sciq", "mine"]
    printed = (small / "report.md").read_text()
    row = r"\| SciQ \(0-shot\) \| 30\.00 \(.*\) \| \+10\.00 \(\+.*\) \| \+20\.00 .* \| 100 \| 90\.50 \+1\.00 \+2\.40 \|"
    assert re.search(row, printed)


def test_other_seeds_of_the_same_experiment_join_the_mean_and_the_interval(small, tmp_path):
    moved = {"baseline": 5.1, "sbp": 4.7, "oracle": 4.5}
    losses = {name: loss - HARD.mean() + HARD for name, loss in moved.items()}
    other = experiment(tmp_path / "other", losses=losses, seed=2)
    report = build_report(small, [other])
    assert report["seeds"] == ["1", "2"]
    assert report["arms"]["sbp"]["heldout_loss"] == pytest.approx(4.75)
    assert report["gap_closed"] == pytest.approx(0.3 / 0.55)
    alone = build_report(small)["gains"]["loss"]["sbp"]
    together = report["gains"]["loss"]["sbp"]
    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])
    assert "over 2 seeds" in answered(small, other)


def test_seeds_may_hold_out_other_text_and_are_compared_within_themselves(small, tmp_path):
    shorter = HARD[:40] - HARD[:40].mean()
    other = experiment(tmp_path / "other", losses={name: loss - 2 + shorter for name, loss in LOSSES.items()}, seed=2)
    for name in LOSSES:
        measured(other / "arms" / name, heldout=LOSSES[name] - 2 + shorter, hash="of seed 2")
    report = build_report(small, [other])
    assert report["flags"] == []
    assert report["gap_closed"] == pytest.approx(0.4)
    assert report["gains"]["loss"]["oracle"]["value"] == pytest.approx(-0.5)
    (other / "arms" / "oracle" / "results.json").unlink()
    assert build_report(small, [other])["missing"][-1] == "seed 2: held-out loss of oracle"


def test_another_experiment_is_not_taken_for_another_seed(small, tmp_path):
    losses = {name: HARD + loss for name, loss in LOSSES.items()}
    same = experiment(tmp_path / "same", losses=losses, seed=1)
    with pytest.raises(InputError, match="seed 1 again"):
        build_report(small, [same])
    changed = experiment(tmp_path / "changed", losses=losses, seed=2, config={"seed": 2, "batch": 8})
    with pytest.raises(InputError, match="other settings: batch"):
        build_report(small, [changed])


def test_no_share_is_claimed_where_the_oracle_gains_nothing(small):
    measured(small / "arms" / "oracle", heldout=5.25 - HARD.mean() + HARD)
    told = answered(small)
    assert build_report(small)["gap_closed"] is None
    assert "no gain to take a share of" in told
    assert "SBP is better than the baseline by 0.2000 nats" in told
    assert "the oracle is worse than the baseline by 0.2500 nats" in told


def test_a_share_that_may_be_none_is_not_claimed(small):
    measured(small / "arms" / "sbp", heldout=LOSSES["baseline"] + 1.5 * (HARD - HARD.mean()) - 0.05)
    assert "closes any of the oracle's gain in held-out loss is not shown: 10% (95%: -" in answered(small)


def test_a_share_of_a_gain_that_may_be_none_is_not_claimed_either(small):
    for place, (name, count) in enumerate({"baseline": 30, "sbp": 31, "oracle": 32}.items()):
        asked(small / "arms" / name, "sciq", [(n + 33 * place) % 100 < count for n in range(100)])
    report = build_report(small)
    assert report["gains"]["accuracy"]["share"]["low"] is None
    assert answer(report)[0] == (
        "The oracle's own gain in mean accuracy may be none, so a share of it says little: SBP comes to 50%."
    )


def test_a_synthetic_document_cannot_write_into_the_page(small):
    assert "<script>alert(1)" not in html(small)
    assert "&lt;script&gt;alert(1)" in html(small)


def test_every_synthetic_document_of_a_sample_stands_beside_its_seed(small):
    shown = [(sample["seed_name"], sample["name"]) for sample in build_report(small)["samples"]]
    assert shown == [("a", "a#sbp-0-0"), ("a", "a#sbp-0-1")]
    assert "synthetic: a#sbp-0-1" in html(small)


def test_an_unfinished_experiment_says_what_is_missing(small):
    (small / "arms" / "oracle" / "results.json").unlink()
    report = build_report(small)
    assert report["gap_closed"] is None
    assert {"pairs", "held-out loss of oracle"} <= set(report["missing"])
    assert "Missing: " in html(small)
    assert "there is no answer" in answered(small)


def test_an_experiment_that_has_only_begun_has_a_report_too(tmp_path):
    write(tmp_path / "experiment.json", {"name": "new", "seed": 1, "budget_tokens": 5, "artifacts": ["clean"]})
    assert build_report(tmp_path)["missing"] == ["clean"]
    assert "Missing: clean" in (tmp_path / "report.md").read_text()


def test_a_folder_that_is_no_experiment_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"experiment\.json"):
        build_report(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("arms/oracle/plan.json", '{"budget": '), ("arms/oracle/plan.json", '{"budget": {}}'),
        ("arms/oracle/results.json", '{"heldout": {"loss": 3}}'), ("arms/sbp/events.jsonl", "torn\n{}\n"),
        ("arms/sbp/evaluation/heldout-windows.jsonl", '{"id": 0}\n'), ("corpus_synthetic/samples.jsonl", "[\n"),
        ("arms/oracle/results.json", "[]"), ("pairs/manifest.json", "{}"), ("quality/quality.json", "{}"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_and_the_rest_is_still_told(small, name, text):
    (small / name).parent.mkdir(exist_ok=True)
    (small / name).write_text(text)
    report = build_report(small)
    assert [name in sentence for sentence in report["broken"]] == [True]
    assert name in html(small)
    assert report["arms"]["baseline"]["heldout_loss"] == pytest.approx(5.0)


def test_all_compute_of_sbp_is_told_the_baseline_of_its_synthesizer_too(small):
    assert "cost is not known yet" in html(small)
    write(small / "cost.json", {"tuning_flops": 5 * 10**8, "synthesis_flops": 10**9})
    report = build_report(small)
    assert report["compute"]["arms"]["sbp"]["times"] == pytest.approx(3.5)
    assert report["compute"]["tokens_for_the_same"] == {"in_all": 700, "without_the_start": 500}
    assert "In all compute SBP takes 3.50 times the baseline's" in html(small)


def test_a_baseline_of_as_much_compute_stands_beside_the_arms_and_in_the_answer(small, tmp_path):
    write(small / "cost.json", {"tuning_flops": 5 * 10**8, "synthesis_flops": 10**9})
    run = small / "arms" / "baseline_flops"
    plan = json.loads((small / "arms" / "baseline" / "plan.json").read_text())
    plan["budget"] |= {"tokens": 700, "flops": 3.5 * 10**9}
    write(run / "plan.json", plan)
    measured(run, heldout=HARD - HARD.mean() + 4.9)
    report = build_report(small)
    assert report["flags"] == []
    assert "against it SBP is better by 0.1000" in answered(small)
    assert "<td class=\"word\">Training FLOPs</td><td>1.00e+09</td>" in html(small)
    assert "FLOPs-matched" in html(small)


def test_what_a_filter_dropped_is_a_share_of_what_came_in():
    pairs = {"candidates": 200, "dropped_similarity": 50, "dropped_too_long": 0, "pairs": 150}
    assert filter_rows(pairs)[:2] == [("candidates", 200, ""), ("dropped similarity", 50, "25.0%")]
    drafts = {"documents": 3, "tokens": 90, "drafts": 4, "kept": 3, "requests": 4, "dropped_short": 1}
    assert filter_rows(drafts)[:2] == [("drafts", 4, ""), ("dropped short", 1, "25.0%")]
    assert [what for what, *_ in filter_rows(drafts)[2:]] == ["documents", "kept"]
    assert ("dropped too long", 1, "25.0%") in filter_rows({"documents": 3, "dropped_too_long": 1})


def test_the_page_needs_no_network(small):
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", html(small))


def test_commands_hashes_and_differing_settings_are_told(small):
    files = {"inputs": {"0": "aa"}, "outputs": {"documents.jsonl.zst": "bb"}, "command": "data clean a"}
    write(small / "clean" / "manifest.json", manifest(**files))
    report = build_report(small)
    assert report["commands"]["clean"] == "data clean a"
    assert report["hashes"]["clean"] == {"inputs": {"0": "aa"}, "outputs": {"documents.jsonl.zst": "bb"}}
    assert [row["setting"] for row in report["differences"]] == ["sources.real.corpus"]
    assert "corpus of oracle" in html(small)


def test_steps_trained_again_are_told_once_and_a_torn_line_is_left_out(tmp_path):
    write_lines(tmp_path / "events.jsonl", [start(0), step(1, 3.0), step(2, 2.9), step(3, 2.8), start(1), step(2, 2.5)])
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"event": "step", "tok')
    curve = read_curve(Files(tmp_path))
    assert curve.points == [[100, 3.0], [200, 2.5]]
    assert curve.restarted_at == [100]


def test_evaluations_of_the_live_model_are_curves_and_those_that_were_trained_over_are_gone(tmp_path):
    asks = [{"event": "evaluation", "step": n, "tokens": 100 * n, "sciq/acc": n / 10} for n in (1, 2)]
    write_lines(tmp_path / "events.jsonl", [start(0), step(1, 3.0), asks[0], step(2, 2.9), asks[1], start(1)])
    assert read_curve(Files(tmp_path)).evaluations == {"sciq/acc": [[100, 0.1]]}


def test_a_report_of_a_copied_folder_is_the_same(small, tmp_path):
    first = build_report(small)
    copy = Path(tmp_path / "elsewhere")
    small.rename(copy)
    assert build_report(copy) == first


def test_last_words_count_by_their_perplexity_as_in_the_paper_and_not_among_the_questions(small):
    for name in LOSSES:
        asked(small / "arms" / name, "sciq", [True, False])
        run = small / "arms" / name
        found = json.loads((run / "results.json").read_text())
        found["tasks"]["lambada"] = {"perplexity": 3.0, "target_perplexity": 9.0, "acc": 0.5, "items": 2, "file": "l"}
        write(run / "results.json", found)
        lines = [{"id": n, "logprobs": [-float(np.log(9.0))], "tokens": [2], "right": {"acc": True}} for n in (0, 1)]
        write_lines(run / "evaluation" / "lambada.jsonl", lines)
    report = build_report(small)
    [row] = [row for row in report["benchmarks"] if row["name"] == "lambada"]
    assert (row["kind"], row["title"]) == ("perplexity", "LAMBADA")
    assert row["baseline"]["value"] == pytest.approx(9.0)
    assert report["gains"]["accuracy"]["over"] == ["sciq"]
