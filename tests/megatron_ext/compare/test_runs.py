"""Comparisons: which runs there are, what they cost to the token, and what is refused before anything is made."""

from pathlib import Path

import pytest

from data_tools.errors import InputError
from megatron_ext.compare.cost import costs
from megatron_ext.compare.runs import Comparison
from megatron_ext.config import load_comparison, load_sweep
from megatron_ext.plan.cost import training_flops
from megatron_ext.sweep.grid import Grid
from tests.megatron_ext.compare.support import STEP, comparison
from tests.support import ROOT

PAPER = ROOT / "configs" / "experiments" / "megadocs_200m.yaml"
EPOCH = 777 * 64 * 4096


@pytest.fixture(scope="module")
def paper():
    return Comparison(load_comparison(PAPER), str(PAPER), Path("runs/megadocs"))


@pytest.mark.parametrize(("arm", "epochs", "steps"), [
    ("baseline", 16, 777 * 16), ("simple_32", 16, 49_728), ("stitched_32", 32, 248_640),
    ("latent_32", 32, 248_640), ("stitched_32_short", 16, 49_728), ("baseline@388", 16, 388 * 16),
])  # fmt: skip
def test_the_papers_comparison_is_planned_to_the_token_without_its_corpora(paper, arm, epochs, steps):
    cost = costs(paper)["arms"][arm]
    per_epoch = int(arm.partition("@")[2] or 777) * 64 * 4096
    assert (cost["epochs"], cost["steps"]) == (epochs, steps)
    assert cost["real_tokens"] == epochs * per_epoch
    assert cost["synthetic_tokens"] == steps * 64 * 4096 - cost["real_tokens"]
    assert cost["flops"] == training_flops(paper.config.model, steps * 64 * 4096, 4096)
    assert cost["synthetic_epochs"] is None


def test_the_papers_total_is_the_sum_over_all_runs(paper):
    plan = costs(paper)
    runs = list(paper.runs)
    assert plan["total"]["runs"] == len(runs) == 15 + 4 + 4 * 4
    assert plan["total"]["steps"] == sum(run.config.steps for run in runs)
    assert plan["total"]["real_tokens"] == sum(run.tokens["real"] for run in runs)
    assert plan["tokens_per_step"] * 777 == EPOCH == 203_685_888


def test_the_papers_sweep_has_its_whole_grid():
    path = ROOT / "configs" / "sweeps" / "megadocs_200m.yaml"
    grid = Grid(load_sweep(path), str(path))
    assert len(list(grid)) == 3 * 4 * 6 * 3
    for point in (grid.start, (0, 0, 0, 0), (2, 3, 5, 2)):
        values = grid.values(point)
        run = grid.run(point)
        assert run.optimizer.weight_decay == values["optimizer.weight_decay"]
        assert run.tokens >= EPOCH * values["blend.epochs"] / (1 - values["blend.weights.synthetic"]) - 64 * 4096


def test_members_of_an_ensemble_differ_in_nothing_but_their_seed(tmp_path):
    found = comparison(tmp_path)
    one, two = found.arms["stitched"]
    assert (one.seed, two.seed) == (1234, 1235)
    assert one.config.sources == two.config.sources
    assert [run.name for run in found.runs] == [
        "baseline/1234", "stitched/1234", "latent/1234", "baseline@3/1234", "baseline@6/1234", "baseline/1235",
        "stitched/1235",
    ]  # fmt: skip
    assert len({found.run(run) for run in found.runs}) == 7


def test_an_arm_may_have_settings_of_its_own(tmp_path):
    arms = comparison(tmp_path).arms
    assert arms["latent"][0].config.schedule.peak_lr == 0.003
    assert arms["baseline"][0].config.schedule.peak_lr == 0.01


def test_the_scan_reads_whole_steps_of_drawn_documents(tmp_path):
    found = comparison(tmp_path)
    (_, small), _ = found.scan
    assert small.tokens == {"real": 2 * 3 * STEP}
    assert small.real_tokens == 3 * STEP
    assert small.config.sources["real"].corpus == (tmp_path / "out" / "views" / "baseline@3").absolute()


@pytest.mark.parametrize(("changes", "message"), [
    ({"arms": {"stitched": {"view": "stitched", "epochs": 1, "weight": 0.5}}}, "no arm `baseline`"),
    ({"arms": {"baseline": {"epochs": 1, "view": "stitched", "weight": 0.5}}}, "a baseline with the view"),
    ({"arms": {"baseline": {"epochs": 1}, "a": {"epochs": 1, "view": "towers", "weight": 0.5}}}, "'towers'"),
    ({"arms": {"baseline": {"epochs": 1}, "a": {"epochs": 1, "view": "stitched"}}}, "both, or neither"),
    ({"arms": {"baseline": {"epochs": 1}, "a@b": {"epochs": 1}}}, "a@b"),
    ({"ensembles": {"members": 2, "arms": ["nobody"]}}, "'nobody'"),
    ({"scan": {"points": [{"steps_per_epoch": 10, "epochs": 1}]}}, "different amounts of data"),
    ({"epochs": 3}, "an unknown key"),
])  # fmt: skip
def test_what_is_no_comparison_is_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        comparison(tmp_path, **changes)


@pytest.mark.parametrize("changes", [{"schedule.peek_lr": 0.1}, {"peak": 1}, {"schedule.peak_lr": -1.0}])
def test_changes_that_no_run_takes_are_refused_with_the_arm(tmp_path, changes):
    with pytest.raises(InputError, match=r"arms\.baseline"):
        _ = comparison(tmp_path, ensembles=None, arms={"baseline": {"epochs": 1, "changes": changes}}).arms
