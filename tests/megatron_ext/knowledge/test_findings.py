"""The paper's findings held against runs that show them, contradict them, or tell neither."""

from dataclasses import replace

import numpy as np
import pytest

from megatron_ext.knowledge.findings import AGREES, DISAGREES, NOT_SHOWN, Finding, MeasuredRun, findings
from megatron_ext.knowledge.measures import Settings, measure
from megatron_ext.knowledge.record import Record
from tests.megatron_ext.knowledge.records import facts_run

GAINS = {
    "paraphrased": {"memorisation": 1.0, "semantic": 0.6, "compositional": 0.3},
    "duplicated": {"memorisation": 1.5, "semantic": 0.9, "compositional": 0.5},
}
DECAY = {"paraphrased": 0.25, "duplicated": 0.5}


def run(found: Record, parameters: int | None = 1000, *, window: int = 10) -> MeasuredRun:
    return MeasuredRun(measure(found, Settings(window=window)), parameters)


def answers(**runs: MeasuredRun) -> dict[str, Finding]:
    return {finding.says: finding for finding in findings(runs)}


def turned_around(gains: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    kinds = ("memorisation", "semantic", "compositional")
    groups = {"paraphrased": gains["duplicated"], "duplicated": gains["paraphrased"]}
    return {group: dict(zip(kinds, reversed(values.values()), strict=True)) for group, values in groups.items()}


WITHIN = (
    "Memorisation gains more than semantic generalisation", "Semantic generalisation gains more than compositional",
    "Duplication gains more at each showing than paraphrase", "Duplication is forgotten faster than paraphrase",
    "The first showing gains most", "What was learnt is forgotten with the logarithm of time",
)  # fmt: skip
BATCHES = (
    "A smaller batch gains more at each showing", "With a smaller batch facts are forgotten faster",
    "With a smaller batch the learnability threshold is much smaller (below 1/2)",
)  # fmt: skip
MODELS = "A larger model gains more at each showing"


def test_a_run_like_the_papers_agrees_with_all_that_one_run_can_tell():
    found = answers(a=run(facts_run(GAINS, decay=DECAY)))
    assert {says: found[says].verdict for says in WITHIN} == dict.fromkeys(WITHIN, AGREES)
    first = found["The first showing gains most"]
    assert first.mean.value == pytest.approx(np.mean([v / 2 for kinds in GAINS.values() for v in kinds.values()]), 1e-3)
    assert len(first.places) == 6
    assert first.why == "6 of 6 places agree"


def test_a_run_that_is_the_other_way_round_disagrees_with_all_of_it():
    turned = facts_run(turned_around(GAINS), decay={"paraphrased": 0.5, "duplicated": 0.25}, later=1.5)
    found = answers(a=run(turned))
    expected = dict.fromkeys(WITHIN, DISAGREES) | {WITHIN[-1]: AGREES}
    assert {says: found[says].verdict for says in WITHIN} == expected
    unforgotten = answers(a=run(facts_run(GAINS, decay=-0.1), window=1))
    assert unforgotten[WITHIN[-1]].verdict == DISAGREES


def test_a_difference_that_the_choice_of_passages_could_have_made_is_not_shown():
    close = {"paraphrased": {"memorisation": 1.0}, "duplicated": {"memorisation": 1.01}}
    duplication = answers(a=run(facts_run(close, spread=0.5)))[WITHIN[2]]
    assert duplication.verdict == NOT_SHOWN
    assert duplication.why == "0 of 1 places agree"
    assert duplication.mean.interval[0] < 0 < duplication.mean.interval[1]


def test_a_finding_that_is_contradicted_in_one_place_does_not_agree():
    gains = {"paraphrased": {"memorisation": 1.0, "semantic": 0.6}, "duplicated": {"memorisation": 5, "semantic": 0.4}}
    duplication = answers(a=run(facts_run(gains)))[WITHIN[2]]
    assert duplication.mean.interval[0] > 0
    assert duplication.verdict == NOT_SHOWN
    assert duplication.why == "1 of 2 places agree, 1 disagree"


def test_what_a_run_cannot_tell_is_not_shown_with_the_reason():
    found = answers(a=run(facts_run({"once": {"memorisation": 1.0}})))
    assert found[WITHIN[0]].why == "The facts file has no probes of both kinds."
    assert found[WITHIN[2]].why == "The run does not show some passages duplicated and others paraphrased."
    assert found[WITHIN[4]].why == "No passage is shown more than once."
    assert found[BATCHES[0]].why == "No two of these runs have one model and different batches."
    assert found[MODELS].why == "No two of these runs have one batch and models of different sizes."
    assert {found[says].verdict for says in (WITHIN[0], WITHIN[2], WITHIN[4], *BATCHES, MODELS)} == {NOT_SHOWN}
    early = answers(a=run(facts_run(GAINS, steps=20)))
    assert early[WITHIN[3]].why == "in no place both figures are known yet"


def test_batches_are_compared_between_runs_of_one_model():
    small = facts_run(GAINS, decay=0.5, tokens_per_step=1000)
    weaker = {group: {kind: gain / 2 for kind, gain in kinds.items()} for group, kinds in GAINS.items()}
    large = facts_run(weaker, decay=0.4, tokens_per_step=16000)
    found = answers(large=run(large), small=run(small))
    assert {says: found[says].verdict for says in BATCHES} == dict.fromkeys(BATCHES, AGREES)
    threshold = found[BATCHES[2]]
    assert threshold.where == "small and large"
    assert threshold.places[0].smaller == pytest.approx(np.log10(100 * 1000), rel=1e-3)
    assert threshold.places[0].larger == pytest.approx(2.5 + np.log10(16000), rel=1e-3)
    # The sizes of the batches the other way round, and all that was found of batches turns.
    turned = answers(a=run(replace(large, tokens_per_step=1000)), b=run(replace(small, tokens_per_step=16000)))
    assert {says: turned[says].verdict for says in BATCHES[:2]} == dict.fromkeys(BATCHES[:2], DISAGREES)


def test_a_threshold_that_is_a_little_smaller_is_not_much_smaller():
    small, large = facts_run(GAINS, tokens_per_step=1000), facts_run(GAINS, tokens_per_step=1500)
    assert answers(a=run(small), b=run(large))[BATCHES[2]].verdict == DISAGREES
    larger = replace(large, tokens_per_step=2500)
    assert answers(a=run(small), b=run(larger))[BATCHES[2]].verdict == AGREES


def test_models_are_compared_between_runs_of_one_batch():
    weaker = {group: {kind: gain / 2 for kind, gain in kinds.items()} for group, kinds in GAINS.items()}
    strong, weak = facts_run(GAINS), facts_run(weaker)
    assert answers(a=run(weak, 1000), b=run(strong, 9000))[MODELS].verdict == AGREES
    assert answers(a=run(weak, 9000), b=run(strong, 1000))[MODELS].verdict == DISAGREES
    assert answers(a=run(weak, None), b=run(strong, 1000))[MODELS].verdict == NOT_SHOWN
    both = answers(a=run(weak, 1000), b=run(replace(strong, tokens_per_step=7), 9000))
    assert both[MODELS].verdict == NOT_SHOWN, "the batch differs as well"


def test_of_three_batches_each_pair_is_compared():
    runs = {str(tokens): run(facts_run({"once": {"semantic": 1000 / tokens}}, tokens_per_step=tokens))
            for tokens in (1000, 2000, 4000)}  # fmt: skip
    smaller = answers(**runs)[BATCHES[0]]
    assert smaller.verdict == AGREES
    assert [place.name for place in smaller.places] == [
        "1000 and 2000: once, semantic", "1000 and 4000: once, semantic", "2000 and 4000: once, semantic",
    ]  # fmt: skip


def test_one_passage_shows_nothing_and_says_why():
    one = measure(facts_run({"once": {"memorisation": 1.0, "semantic": 0.5}}, passages=2), Settings(window=10))
    assert one.groups["once"].kinds["semantic"].effectivity.interval is not None
    alone = facts_run({"once": {"memorisation": 1.0, "semantic": 0.5}}, passages=2)
    alone = replace(alone, probes=alone.probes[:2], values_NP=alone.values_NP[:, :2])
    finding = answers(a=run(alone))[WITHIN[0]]
    assert finding.mean.value > 0
    assert finding.verdict == NOT_SHOWN
    assert finding.why.startswith("how sure it is is not known: one passage")
