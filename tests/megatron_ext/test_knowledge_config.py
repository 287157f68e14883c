"""The `knowledge:` section of a run file: which passages are shown when, and what is refused."""

import pytest

from data_tools.errors import InputError
from megatron_ext.config import as_dict, run_from_dict

PAPER = {"paraphrased": "0-39", "duplicated": "40-79", "once": "80-119"}


def run(knowledge, *, steps=1000, global_batch=128, **changes):
    settings = {
        "model": {"layers": 1, "hidden": 8, "ffn": 8, "heads": 1, "kv_heads": 1, "vocabulary": 16},
        "sources": {"real": {"corpus": "corpus", "tokens": 8 * global_batch * steps}},
        "batch": {"sequence_length": 8, "global_batch": global_batch},
        "schedule": {"peak_lr": 0.1},
        "knowledge": {"facts": "facts.json"} | knowledge,
    }
    return run_from_dict(settings | changes, where="run.yaml")


def refused(knowledge, **changes):
    with pytest.raises(InputError) as error:
        run(knowledge, **changes)
    return str(error.value)


def test_by_default_passages_are_shown_ten_times_100_steps_apart():
    shown = run({"groups": PAPER}).knowledge.shown
    assert list(shown) == list(range(120))
    assert shown[0] == shown[79] == tuple(range(0, 1000, 100))
    assert shown[80] == (0,)


def test_paraphrases_follow_the_passage_and_duplicates_repeat_it():
    knowledge = run({"groups": PAPER, "steps": [3, 5, 9]}).knowledge
    assert {step: len(shown) for step, shown in knowledge.showings.items()} == {3: 120, 5: 80, 9: 80}
    versions = {passage: [dict(shown).get(passage) for shown in knowledge.showings.values()] for passage in (0, 40, 80)}
    assert versions == {0: [0, 1, 2], 40: [0, 0, 0], 80: [0, None, None]}
    assert knowledge.group_of[39] == "paraphrased"


def test_a_passage_in_no_group_is_never_shown():
    knowledge = run({"groups": {"duplicated": "2, 5-6,  9"}}).knowledge
    assert list(knowledge.shown) == [2, 5, 6, 9]
    assert run({}).knowledge.shown == {}


@pytest.mark.parametrize("steps", [{"first": 2, "every": 7, "times": 3}, [2, 9, 16]])
def test_steps_are_spaced_evenly_or_listed(steps):
    config = run({"steps": steps, "groups": {"once": 1, "duplicated": 0}})
    assert config.knowledge.shown == {0: (2, 9, 16), 1: (2,)}
    assert run_from_dict(as_dict(config), where="written") == config


@pytest.mark.parametrize(
    ("knowledge", "found", "fix"),
    [
        ({"groups": {"once": "5-3"}}, "'5-3' in groups.once", "first and last passage"),
        ({"groups": {"once": "1;2"}}, "'1;2' in groups.once", "first and last passage"),
        ({"groups": {"once": ""}}, "'' in groups.once", "first and last passage"),
        ({"groups": {"once": "7", "duplicated": "0-7"}}, "passage 7 in duplicated and again in once", "Take it out"),
        ({"groups": {"once": "7, 6-8"}}, "passage 7 in once and again in once", "Take it out"),
        ({"steps": [4, 4]}, "steps [4, 4]", "name each once"),
        ({"steps": []}, "steps []", "name each once"),
        ({"steps": {"at": [4], "times": 3}}, "a list of steps beside", "Leave the list out"),
        ({"steps": {"frist": 4}}, "an unknown key", "Did you mean 'first'?"),
        ({"probes": {}}, "an unknown key", "Did you mean 'probe'?"),
        ({"probe": {"every": 0}}, "found 0", "greater than 0"),
    ],
)
def test_a_section_that_cannot_be_meant_is_refused(knowledge, found, fix):
    message = refused(knowledge)
    assert message.startswith("run.yaml, key 'knowledge")
    assert found in message
    assert fix in message


def test_a_schedule_that_the_run_ends_before_is_refused():
    assert "knowledge.steps up to 900" in refused({"groups": {"duplicated": 0}}, steps=900)
    assert run({"groups": {"once": 0}}, steps=1).knowledge.shown == {0: (0,)}


def test_more_passages_than_a_batch_has_rows_are_refused_also_in_a_ramp_and_in_a_partial_last_step():
    assert "130 passages at step 0" in refused({"groups": {"once": "0-129"}})
    ramp = {"sequence_length": 8, "global_batch": 128, "ramp": [{"until_tokens": 512, "global_batch": 64}]}
    assert "at most 64, the rows of that step" in refused({"groups": {"once": "0-64"}}, batch=ramp)
    partial = {"real": {"corpus": "corpus", "tokens": 8 * 130}}
    assert run({"groups": {"once": "0-1"}, "steps": [1]}, sources=partial)
    assert "at most 2" in refused({"groups": {"once": "0-2"}, "steps": [1]}, sources=partial)


def test_no_source_may_have_the_name_that_passages_are_counted_under():
    message = refused({}, sources={"knowledge": {"corpus": "corpus", "tokens": 128 * 8}})
    assert "Rename sources.knowledge" in message
