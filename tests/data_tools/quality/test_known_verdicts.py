"""Texts whose verdicts are known, by which a judge is tried: each fault is among them, and agreement counts fairly."""

from benchmarks.judge import cases, row_of
from data_tools.quality.judge import VERDICTS, criteria

ALL = {each.measure: each for each in criteria(pairs=True)}


def test_every_verdict_of_every_measure_is_that_of_some_text():
    found = {(measure, verdict) for case in cases() for measure, verdict in case.truth.items()}
    assert found == {(measure, word) for measure, (words, _, _) in VERDICTS.items() for word in words}
    assert all(case.document != case.source for case in cases() if case.kind != "copy")


def test_agreement_is_half_for_a_judge_that_says_the_same_of_all_texts():
    truths = ["copy"] * 2 + ["different"] * 8
    for word in ("copy", "different"):
        row = row_of(ALL["pair_copying"], [("pair_copying", truth, word) for truth in truths])
        assert row["agreement"] == 0.5
    said = [("pair_copying", truth, truth) for truth in truths[1:]] + [("pair_copying", "copy", None)]
    row = row_of(ALL["pair_copying"], said)
    assert (row["found"], row["blamed"], row["unread"], row["agreement"]) == ("1 of 2", "0 of 8", "1 of 10", 0.75)
