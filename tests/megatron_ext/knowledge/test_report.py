"""`knowledge report`: from runs' folders to a dictionary, a page and tables."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_tools.errors import InputError
from megatron_ext.cli.main import main
from megatron_ext.knowledge.description import described
from megatron_ext.knowledge.findings import MeasuredRun
from megatron_ext.knowledge.measures import Settings, measure
from megatron_ext.knowledge.record import ProbeInfo
from megatron_ext.knowledge.report import build_report, named
from megatron_ext.knowledge.report_figures import figures
from megatron_ext.knowledge.report_page import answer, page
from megatron_ext.knowledge.report_table import tables
from tests.megatron_ext.knowledge.records import LARGE, facts_run, record, write_run

GAINS = {
    "paraphrased": {"memorisation": 1.0, "semantic": 0.6, "compositional": 0.3},
    "duplicated": {"memorisation": 1.5, "semantic": 0.9, "compositional": 0.5},
}
WINDOW = Settings(window=10)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "facts", facts_run(GAINS, decay=0.5))


@pytest.fixture(scope="module")
def found(run, tmp_path_factory) -> dict:
    return build_report({"facts": run}, tmp_path_factory.mktemp("out"), WINDOW)


def test_the_report_gives_each_measure_of_each_group_and_kind(found):
    kind = found["runs"]["facts"]["groups"]["duplicated"]["kinds"]["memorisation"]
    assert kind["effectivity"]["mean"] == pytest.approx((1.5 + 3 * 0.75) / 4, abs=1e-4)
    assert [each["mean"] for each in kind["effectivity_by_showing"]] == pytest.approx([1.5, 0.75, 0.75, 0.75], abs=1e-4)
    assert kind["decay"]["a"] == pytest.approx(0.5, abs=1e-4)
    assert kind["decay"]["sigma"] < 1e-4
    assert kind["learnability_threshold"]["steps"] == pytest.approx(100, rel=1e-3)
    assert kind["learnability_threshold"]["tokens"] == pytest.approx(100_000, rel=1e-3)
    assert not kind["learnability_threshold"]["extrapolated"]
    low, high = kind["effectivity"]["interval"]
    assert low < kind["effectivity"]["mean"] < high


def test_thresholds_stand_in_one_list_for_the_interval_planner(found):
    rows = found["learnability_thresholds"]
    assert [(row["run"], row["group"], row["kind"]) for row in rows] == [
        ("facts", group, kind) for group, kinds in GAINS.items() for kind in kinds
    ]
    assert all(row["steps"] == pytest.approx(100, rel=0.02) for row in rows)


def test_the_files_hold_no_number_that_json_does_not_know(run, tmp_path):
    """A run of every edge: never forgotten, never learnt, cut short, not measured, not a number, not shown."""
    rising, falling = np.linspace(-6, -5, 41), np.linspace(-5, -6, 41)
    broken = np.full(41, math.nan)
    kinds = ("memorisation", "semantic", "compositional", "memorisation", "semantic")
    probes = [ProbeInfo(i, group, kind) for i, (group, kind) in enumerate(zip("abcde", kinds, strict=True))]
    odd = record(rising, falling, broken, rising, rising, shown={0: [0, 10], 1: [0], 2: [0], 3: [38]}, probes=probes)
    unit = write_run(tmp_path / "odd", odd, model=None)
    found = build_report({"odd": unit, "facts": run}, tmp_path / "out", Settings(window=5, outliers=math.inf))
    text = (tmp_path / "out" / "knowledge.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == found
    assert found["settings"]["outliers"] is None
    groups = found["runs"]["odd"]["groups"]
    assert groups["a"]["kinds"]["memorisation"]["learnability_threshold"]["why"].startswith("R does not fall")
    assert groups["b"]["kinds"]["semantic"]["retainability"]["probes"]["never_learnt"] == 1
    assert groups["c"]["kinds"]["compositional"]["effectivity"]["showings"]["not_measured"] == 1
    assert groups["d"]["kinds"]["memorisation"]["effectivity"]["showings"]["cut_by_the_end"] == 1
    assert found["runs"]["odd"]["never_shown"]["passages"] == 1
    notes = " ".join(found["runs"]["odd"]["notes"])
    assert "1 of 5 gains are not known: the run has not passed their window." in notes
    assert "1 of 5 gains are not known: they or their window were not measured." in notes
    assert "1 of 2 probes were never learnt" in notes


def test_the_page_needs_no_network_and_shows_names_as_they_are(run, tmp_path):
    build_report({"<b>&run": run}, tmp_path, WINDOW)
    html = (tmp_path / "knowledge.html").read_text()
    assert "&lt;b&gt;&amp;run" in html
    assert "<b>&run" not in html.split("<script>")[0]
    assert 'src="http' not in html
    assert "learnability threshold" in html


def test_figures_of_a_group_stand_in_one_panel_and_never_shown_passages_in_their_own(found):
    drawn = figures(found)
    assert list(drawn["around"]["panels"]) == ["paraphrased", "duplicated"]
    names = [trace["name"] for trace in drawn["kept"]["panels"]["duplicated"]["traces"]]
    assert names[:4] == ["95%", "memorisation", "memorisation", "memorisation: threshold"]
    diamond = drawn["kept"]["panels"]["duplicated"]["traces"][3]
    assert diamond["x"] == pytest.approx([100], rel=1e-3)
    low, high = drawn["around"]["range"]
    assert low < 0 < high


def test_several_runs_stand_side_by_side(run, tmp_path, capsys):
    weaker = {group: {kind: gain / 2 for kind, gain in kinds.items()} for group, kinds in GAINS.items()}
    other = write_run(tmp_path / "large", replace(facts_run(weaker, decay=0.4), tokens_per_step=16000))
    model = write_run(tmp_path / "model", facts_run({"once": {"semantic": 2.0}}), LARGE)
    arguments = ["knowledge", "report", str(run), str(other), str(model), "--window", "10", "-o", str(tmp_path / "out")]
    assert main([*arguments, "--name", "batch 1k", "--name", "batch 16k", "--name", "wide"]) == 0
    printed = capsys.readouterr().out
    assert "| A smaller batch gains more at each showing | batch 1k and batch 16k | agrees |" in printed
    assert "| A larger model gains more at each showing | wide and batch 1k | not shown |" in printed
    assert "in no place both figures are known yet" not in printed
    found = json.loads((tmp_path / "out" / "knowledge.json").read_text())
    assert list(found["runs"]) == ["batch 1k", "batch 16k", "wide"]
    assert found["runs"]["wide"]["parameters"] > found["runs"]["batch 1k"]["parameters"]
    assert main([*arguments, "--name", "one"]) == 2
    assert "--name: found 1 for 3 runs" in capsys.readouterr().err


def test_one_runs_report_goes_beside_its_record(run, capsys):
    assert main(["knowledge", "report", str(run), "--window", "10", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((run / "knowledge" / "knowledge.json").read_text())
    assert (run / "knowledge" / "knowledge.html").exists()
    table = (run / "knowledge" / "knowledge.md").read_text()
    assert "| facts | duplicated | memorisation | 0.937 |" in table


def test_a_run_that_has_just_begun_gets_a_report_that_says_so(tmp_path):
    early = write_run(tmp_path / "early", facts_run(GAINS, steps=301))
    values = early / "knowledge" / "values.bin"
    values.write_bytes(values.read_bytes()[: 3 * (8 + 4 * 48) + 5])  # three measurements, and a part of the fourth
    found = build_report({"early": early}, tmp_path / "out", WINDOW)
    assert found["runs"]["early"]["measurements"] == 3
    assert "gains are not known: the run has not passed their window." in found["runs"]["early"]["notes"][0]
    assert answer(found)[0] == "The paper's findings, held against this run: 0 agree, 0 disagree, 10 are not shown."
    assert "duplicated" in tables(found)
    nothing = build_report({"none": write_run(tmp_path / "none", record(shown={}, probes=[]))}, tmp_path / "2", WINDOW)
    assert answer(nothing) == ["No passage was shown, so there is nothing to learn."]
    assert "The run showed no passage." in page(nothing)


def test_what_probes_do_without_showings_is_said_where_it_is_much():
    learnt, drift = np.r_[-5.0, np.full(20, -4.0)], np.linspace(-5, -4.8, 21)
    probes = [ProbeInfo(passage, "once" if passage < 2 else None, "semantic") for passage in range(4)]
    for rise, said in ((drift, True), (np.full(21, -5.0), False)):
        measured = measure(record(learnt, learnt, rise, rise, shown={0: [0], 1: [0]}, probes=probes), WINDOW)
        notes = " ".join(described({"a": MeasuredRun(measured, None)}, [], WINDOW)["runs"]["a"]["notes"])
        assert ("moved too, by +0.200 (semantic) nats per token" in notes) == said


def test_a_folder_without_a_record_is_refused(tmp_path, capsys):
    assert main(["knowledge", "report", str(tmp_path)]) == 2
    assert "knowledge" in capsys.readouterr().err


def test_several_runs_need_a_folder_for_their_report_and_names_that_differ(tmp_path, capsys):
    assert main(["knowledge", "report", "a", "b"]) == 2
    assert "--output: found nothing, for 2 runs" in capsys.readouterr().err
    with pytest.raises(InputError, match="two that are alike"):
        named([tmp_path / "a" / "run", tmp_path / "b" / "run"], [])
    assert named([Path("x/run"), Path("y/run")], ["one", "two"]) == {"one": Path("x/run"), "two": Path("y/run")}
