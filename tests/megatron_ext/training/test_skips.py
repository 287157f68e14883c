"""Gradients that are no numbers never reach the weights: Megatron-core's own pieces, real ranks over gloo."""

import json

import pytest

from megatron_ext.training.skips import Skips, TooManySkipsError
from tests.support import run_module

CLIP = 0.5


@pytest.fixture(scope="module", params=[("fp32", 1), ("bf16", 1), ("fp32", 2), ("bf16", 2)], ids=str)
def verdicts(request, tmp_path_factory):
    precision, ranks = request.param
    output = tmp_path_factory.mktemp("guarded") / "verdicts.json"
    run_module("tests.megatron_ext.training.guarded_ranks", precision, CLIP, output, ranks=ranks)
    found = json.loads(output.read_text())
    assert len(found) == ranks
    return found


def test_a_finite_step_is_megatron_cores_own_bit_for_bit_and_is_clipped(verdicts):
    assert all(verdict["same"] for verdict in verdicts)
    assert max(verdicts[0]["norms"]) > CLIP


def test_a_gradient_of_one_rank_that_is_no_number_leaves_weights_and_moments_of_all_as_they_were(verdicts):
    assert all(verdict["refused"] for verdict in verdicts)


def test_all_ranks_see_the_same_norm(verdicts):
    assert all(verdict["norms"] == verdicts[0]["norms"] for verdict in verdicts)


def skip(skips, step):
    return skips.add(step, loss=float("nan"), grad_norm=float("nan"), samples=range(8 * step - 8, 8 * step))


def test_a_run_stops_after_too_many_skipped_steps_and_names_them_also_those_before_a_restart():
    skips = Skips(limit=2)
    for step in (3, 7):
        skip(skips, step)
        skips.require_few()
    resumed = Skips(limit=2, steps=json.loads(json.dumps(skips.steps)))
    event = skip(resumed, 9)
    assert (event["first_sample"], event["samples"], event["skipped_steps"]) == (64, 8, 3)
    with pytest.raises(TooManySkipsError, match=r"found 3 steps .* \(steps 3, 7, 9\), expected at most 2"):
        resumed.require_few()


def test_with_a_limit_of_0_the_first_one_stops_the_run():
    skips = Skips(limit=0)
    skips.require_few()
    skip(skips, 1)
    with pytest.raises(TooManySkipsError):
        skips.require_few()
