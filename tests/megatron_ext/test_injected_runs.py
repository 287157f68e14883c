"""A run with facts is the same run in any layout, and after any interruption; its folder says what it was shown."""

import json
from functools import partial

import pytest

from data_tools.errors import InputError
from megatron_ext.config import run_from_dict
from megatron_ext.training.preflight import check
from tests.support import losses, make_corpus, run_settings, start, train, train_by_command, train_many, wait_for_step

STEPS = 8
KNOWLEDGE = {
    "steps": {"first": 1, "every": 2, "times": 3},
    "groups": {"paraphrased": "0-2", "duplicated": 3, "once": 4},
}
LAYOUTS = {
    "alone": {}, "data 2": {}, "tensor 2": {"tensor": 2}, "pipeline 2": {"pipeline": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("injected")
    rows = [
        {
            "train_context": f"vacuum {number} commit",
            "paraphrases": [f"commit {number} {word}" for word in ("vacuum", "index")],
            "mem_input": ["vacuum"], "mem_target": [str(number)],
        }
        for number in range(6)
    ]  # fmt: skip
    (folder / "facts.json").write_text(json.dumps(rows))
    knowledge = KNOWLEDGE | {"facts": str(folder / "facts.json")}
    return run_settings(make_corpus(folder), steps=STEPS, knowledge=knowledge, checkpoint={"every": 2})


@pytest.fixture(scope="module")
def trained(settings, tmp_path_factory):
    """(folder, losses by run): with facts and without, to the end and half of the way."""
    folder, knowledge = tmp_path_factory.mktemp("trained"), settings["knowledge"]
    runs = {
        "with": settings,
        "without": without(settings),
        "begun": settings | {"sources": half(settings), "knowledge": knowledge | {"steps": [1, 3]}},
        "begun without": without(settings) | {"sources": half(settings)},
    }
    return folder, train_many(folder, runs)


def without(settings):
    """The same run without facts."""
    return {name: value for name, value in settings.items() if name != "knowledge"}


def half(settings):
    """Its sources with half of the tokens."""
    return {"real": settings["sources"]["real"] | {"tokens": STEPS // 2 * 128}}


def checked(folder, settings, **knowledge):
    """Refuse to go on, as a start would."""
    settings = settings | {"knowledge": settings["knowledge"] | knowledge}
    check(run_from_dict(settings, where="run.yaml"), folder, ranks=1)


def events(folder, kind):
    return [e for e in map(json.loads, (folder / "events.jsonl").read_text().splitlines()) if e["event"] == kind]


@pytest.mark.slow
def test_an_injected_run_in_any_layout_equals_one_process(settings, tmp_path):
    runs = {name: settings | {"layout": layout} for name, layout in LAYOUTS.items()}
    alone = train_many(tmp_path, {"alone": runs.pop("alone")})["alone"]
    assert len(alone) == STEPS
    expected = [step.get("loss/knowledge", 0.0) for step in events(tmp_path / "alone", "step")]
    assert [number for number, loss in enumerate(expected) if loss] == [1, 3, 5]
    for name, found in train_many(tmp_path, runs, processes=2).items():
        assert found == pytest.approx(alone, rel=1e-5), name
        on_facts = [step.get("loss/knowledge", 0.0) for step in events(tmp_path / name, "step")]
        assert on_facts == pytest.approx(expected, rel=1e-5), name


def test_facts_change_the_losses_from_the_step_that_shows_them_on_and_are_counted_apart(trained):
    folder, found = trained
    assert found["with"][0] == found["without"][0]
    assert found["with"][1:] != found["without"][1:]
    steps = events(folder / "with", "step")
    assert [step["step"] - 1 for step in steps if "loss/knowledge" in step] == [1, 3, 5]
    injected = events(folder / "with", "start")[0]["injected"]
    assert injected["showings"] == 13
    last, plan = steps[-1], json.loads((folder / "with" / "plan.json").read_text())
    assert (last["trained/knowledge"], last["trained/real"]) == (injected["tokens"], STEPS * 128 - injected["tokens"])
    assert plan["plan"]["knowledge"] == {"1": "0-4", "3": "0-2 paraphrase 1, 3", "5": "0-2 paraphrase 2, 3"}
    assert plan["budget"]["knowledge"] == injected
    counts = json.loads((folder / "with" / "manifest.json").read_text())["counts"]
    assert counts["trained"]["knowledge"] == injected["tokens"]


@pytest.mark.slow
def test_a_run_killed_between_showings_goes_on_with_the_schedule_to_the_same_bits(settings, tmp_path):
    settings = settings | {"checkpoint": {"every": 2, "asynchronous": False}}
    expected = train(tmp_path / "undisturbed", settings, processes=2)
    process = start(tmp_path / "killed", settings, processes=2)
    wait_for_step(tmp_path / "killed", process, 5)
    process.kill()
    process.wait()
    assert len(losses(tmp_path / "killed")) < STEPS, "the run ended before it was killed"
    assert train_by_command(tmp_path / "killed", settings, processes=2) == expected
    for name in ("undisturbed", "killed"):
        by_step = {step["step"]: step.get("trained/knowledge") for step in events(tmp_path / name, "step")}
        assert by_step[8] == events(tmp_path / name, "start")[0]["injected"]["tokens"]


def test_a_run_that_has_begun_takes_other_facts_at_later_steps_and_no_other_past(settings, trained, tmp_path):
    go_on = partial(checked, trained[0] / "begun", settings)
    go_on(steps=[1, 3, 7])
    with pytest.raises(InputError, match="Step 3 showed 0-2 paraphrase 1, 3 and would now have shown no passages"):
        go_on(steps=[1, 4])
    with pytest.raises(InputError, match="Step 1 showed 0-4 and would now have shown 0-3"):
        go_on(steps=[1, 3], groups={"duplicated": "3", "paraphrased": "0-2"})
    other = tmp_path / "other.json"
    other.write_text((tmp_path / settings["knowledge"]["facts"]).read_text() + "\n")
    with pytest.raises(InputError, match="started on another knowledge.facts"):
        go_on(steps=[1, 3], facts=str(other))


def test_facts_may_be_shown_to_a_run_that_was_begun_without_any(settings, trained):
    go_on = partial(checked, trained[0] / "begun without", settings)
    go_on(steps=[4, 6, 7])
    with pytest.raises(InputError, match="Step 3 showed no passages and would now have shown 0-4"):
        go_on(steps=[3, 5])


def test_a_run_that_goes_on_with_facts_shows_them_where_its_file_says(settings, tmp_path):
    train_many(tmp_path, {"run": without(settings) | {"sources": half(settings)}})
    train_many(tmp_path, {"run": settings | {"knowledge": settings["knowledge"] | {"steps": [4, 5, 7]}}})
    assert [s["step"] - 1 for s in events(tmp_path / "run", "step") if "loss/knowledge" in s] == [4, 5, 7]
