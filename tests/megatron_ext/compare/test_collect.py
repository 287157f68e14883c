"""What a comparison has shown: means over seeds, laws, efficiencies, and a page that says what is missing."""

import json

import pytest

from megatron_ext.compare.collect import collect
from megatron_ext.compare.page import answer, figures, page, times, write_comparison
from megatron_ext.report.laws import worth
from tests.megatron_ext.compare.support import STEP, comparison

A, B, C = 8.0, 0.3, 1.5


def law(tokens: float) -> float:
    return A / tokens**B + C


def positions(loss: float) -> list[dict[str, float]]:
    return [{"from": 0, "to": 7, "loss": loss + 1, "tokens": 4}, {"from": 8, "to": 15, "loss": loss, "tokens": 4}]


@pytest.fixture
def measured(tmp_path):
    """A comparison whose runs left the losses of a known law: an arm has that of so many times the real data."""

    def make(gains=None, **changes):
        scan = {"points": [{"steps_per_epoch": n, "epochs": 2} for n in (2, 5, 20)]}
        found = comparison(tmp_path, scan=scan, **changes)
        for run in found.runs:
            loss = law(run.real_tokens * (gains or {}).get(run.arm, 1)) + (run.seed - 1234) * 0.002
            folder = found.evaluation(run)
            folder.mkdir(parents=True)
            results = {"heldout": {"loss": loss, "tokens": 999}, "by_position": positions(loss)}
            (folder / "results.json").write_text(json.dumps(results))
        return found

    return make


def test_an_arms_loss_is_the_mean_over_its_seeds(measured):
    arm = collect(measured())["arms"]["stitched"]
    assert set(arm["losses"]) == {"1234", "1235"}
    assert arm["loss"] == pytest.approx(law(10 * STEP) + 0.001)
    assert arm["deviation"] == pytest.approx(0.002 / 2**0.5)
    assert [row["loss"] for row in arm["by_position"]] == pytest.approx([arm["loss"] + 1, arm["loss"]])


def test_an_arm_with_the_loss_of_twice_the_data_has_an_efficiency_of_two(measured):
    found = collect(measured({"stitched": 2.0, "latent": 1.5}, ensembles=None))
    assert found["scan"]["law"]["b"] == pytest.approx(B, rel=1e-3)
    assert found["arms"]["stitched"]["efficiency"]["value"] == pytest.approx(2.0, rel=1e-3)
    assert found["arms"]["stitched"]["efficiency"]["tokens"] == pytest.approx(20 * STEP, rel=1e-3)
    assert found["arms"]["latent"]["efficiency"]["value"] == pytest.approx(1.5, rel=1e-3)
    assert found["arms"]["baseline"]["efficiency"] is None


def test_the_uncertainty_of_the_fit_is_carried_to_the_efficiency(measured):
    found = collect(measured({"stitched": 2.0}))
    efficiency = found["arms"]["stitched"]["efficiency"]
    assert efficiency["low"] < efficiency["value"]
    assert efficiency["high"] is None or efficiency["high"] > efficiency["value"]
    assert all(low <= high for _, _, low, high in found["scan"]["curve"])


def test_a_loss_below_the_laws_limit_has_no_finite_efficiency_and_the_file_stays_json(measured, tmp_path):
    found = measured(ensembles=None)
    run = found.arms["latent"][0]
    (found.evaluation(run) / "results.json").write_text(json.dumps({"heldout": {"loss": C - 0.5, "tokens": 9}}))
    write_comparison(tmp_path / "out", collect(found))
    text = (tmp_path / "out" / "comparison.json").read_text()
    assert "Infinity" not in text
    assert json.loads(text)["arms"]["latent"]["efficiency"]["value"] is None
    assert "∞×" in (tmp_path / "out" / "comparison.html").read_text()


def test_repeated_data_is_worth_what_the_repetition_law_says(measured):
    found = collect(measured())
    point = found["scan"]["points"][0]
    assert point["worth"] == pytest.approx(worth(2 * STEP, 1))
    assert found["arms"]["baseline"]["worth"] == pytest.approx(worth(10 * STEP, 1))


def test_the_baseline_arm_is_a_point_of_the_scan(measured):
    points = collect(measured())["scan"]["points"]
    assert [point["steps_per_epoch"] for point in points] == [2, 5, 10, 20]
    assert points[2]["run"] == "baseline"


def test_before_anything_is_trained_the_page_says_what_is_missing(tmp_path):
    found = collect(comparison(tmp_path))
    assert len(found["missing"]) == 7
    assert found["scan"]["law"] is None
    assert "have to be trained" in answer(found)[0]
    assert "baseline/1234" in page(found)


def test_the_answer_says_where_the_best_arm_was_trained_longer(measured):
    sentences = answer(collect(measured({"stitched": 2.0}, ensembles=None)))
    assert "stitched" in sentences[0]
    assert "takes 2.00×" in sentences[1]
    assert sentences[2] == "It was trained for 2 times the baseline's steps."
    assert "One seed" in sentences[3]


@pytest.mark.parametrize(("gain", "said"), [(0.2, "more than what seeds explain"), (0.05, "not told from what seeds")])
def test_the_answer_says_whether_a_gain_is_more_than_the_scatter_of_seeds(measured, gain, said):
    found = measured()
    for arm, middle in (("baseline", 2.0), ("stitched", 2.0 - gain)):
        for run, loss in zip(found.arms[arm], (middle - 0.05, middle + 0.05), strict=True):
            (found.evaluation(run) / "results.json").write_text(json.dumps({"heldout": {"loss": loss, "tokens": 9}}))
    (found.evaluation(found.arms["latent"][0]) / "results.json").write_text(json.dumps({"heldout": {"loss": 3.0}}))
    last = answer(collect(found))[-1]
    # standard deviation of both arms 0.0707, of two runs each: twice the error of their difference is 0.1414
    assert said in last
    assert "by 0.0707" in last
    assert "up to 0.1414" in last


def test_ensembles_are_shown_with_what_they_tend_to(measured):
    found = measured()
    for arm in ("baseline", "stitched"):
        found.ensemble(arm).mkdir(parents=True)
        limit = {"value": 1.4, "low": 1.3, "high": 1.45}
        kept = {"losses": [1.7, 1.6], "law": {"a": 0.3, "b": 1.0, "c": limit}, "members": ["/a", "/b"]}
        (found.ensemble(arm) / "ensemble.json").write_text(json.dumps(kept))
    result = collect(found)
    assert set(result["ensembles"]) == {"baseline", "stitched"}
    assert "members" not in result["ensembles"]["baseline"]  # paths of this machine
    traces = figures(result)["ensembles"]
    limits = [trace for trace in traces if trace["name"].endswith(": C")]
    assert [trace["y"] for trace in limits] == [[1.4], [1.4]]
    assert limits[0]["error_y"]["arrayminus"] == [pytest.approx(0.1)]


def test_gains_by_position_are_against_the_baseline(measured):
    found = collect(measured({"stitched": 2.0}, ensembles=None))
    [trace] = [trace for trace in figures(found)["positions"] if trace["name"] == "stitched"]
    assert trace["x"] == [8, 16]
    assert trace["y"] == pytest.approx([law(10 * STEP) - law(20 * STEP)] * 2)


@pytest.mark.parametrize(("efficiency", "shown"), [
    (None, "–"), ({"value": 1.8, "low": None, "high": None}, "1.80×"),
    ({"value": 1.8, "low": 1.5, "high": None}, "1.80× (1.50 to ∞)"),
    ({"value": None, "low": None, "high": None}, "∞×"),
])  # fmt: skip
def test_efficiencies_are_shown_with_their_interval(efficiency, shown):
    assert times(efficiency) == shown
