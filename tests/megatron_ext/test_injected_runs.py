"""A run with facts is the same run in any layout, and after any interruption; its folder says what it was shown."""

import json

import pytest

from tests.megatron_ext.test_resume import wait_for_step
from tests.support import losses, make_corpus, run_settings, start, train, train_many

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


def events(folder, kind):
    return [e for e in map(json.loads, (folder / "events.jsonl").read_text().splitlines()) if e["event"] == kind]


@pytest.mark.slow
def test_an_injected_run_in_any_layout_equals_one_process(settings, tmp_path):
    runs = {name: settings | {"layout": layout} for name, layout in LAYOUTS.items()}
    alone = train_many(tmp_path, {"alone": runs.pop("alone")})["alone"]
    assert len(alone) == STEPS
    expected = [step.get("loss/knowledge") for step in events(tmp_path / "alone", "step")]
    for name, found in train_many(tmp_path, runs, processes=2).items():
        assert found == pytest.approx(alone, rel=1e-5), name
        on_facts = [step.get("loss/knowledge") for step in events(tmp_path / name, "step")]
        assert on_facts == pytest.approx(expected, rel=1e-5), name


def test_facts_change_the_losses_from_the_step_that_shows_them_on_and_are_counted_apart(settings, tmp_path):
    plain = {name: value for name, value in settings.items() if name != "knowledge"}
    found = train_many(tmp_path, {"with": settings, "without": plain})
    assert found["with"][0] == found["without"][0]
    assert found["with"][1:] != found["without"][1:]
    steps = events(tmp_path / "with", "step")
    assert [step["step"] - 1 for step in steps if "loss/knowledge" in step] == [1, 3, 5]
    injected = events(tmp_path / "with", "start")[0]["injected"]
    assert injected["showings"] == 13
    last, plan = steps[-1], json.loads((tmp_path / "with" / "plan.json").read_text())
    assert (last["trained/knowledge"], last["trained/real"]) == (injected["tokens"], STEPS * 128 - injected["tokens"])
    assert plan["plan"]["knowledge"] == {"1": "0-4", "3": "0-2 paraphrase 1, 3", "5": "0-2 paraphrase 2, 3"}
    assert plan["budget"]["knowledge"] == injected
    counts = json.loads((tmp_path / "with" / "manifest.json").read_text())["counts"]
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
    assert train(tmp_path / "killed", settings, processes=2) == expected
    for name in ("undisturbed", "killed"):
        by_step = {step["step"]: step.get("trained/knowledge") for step in events(tmp_path / name, "step")}
        assert by_step[8] == events(tmp_path / name, "start")[0]["injected"]["tokens"]


def test_a_run_that_has_begun_takes_other_facts_at_later_steps_and_no_other_past(settings, tmp_path):
    plain = {name: value for name, value in settings.items() if name != "knowledge"}
    short = plain | {"sources": {"real": plain["sources"]["real"] | {"tokens": 4 * 128}}}
    train(tmp_path / "run", short)

    def add(steps):
        process = start(tmp_path / "run", settings | {"knowledge": settings["knowledge"] | {"steps": steps}})
        return process.communicate(timeout=120)[0], process.returncode

    printed, status = add([3, 5, 7])
    assert status == 2
    assert "Step 3 showed no passages and would now have shown 0-4" in printed
    assert add([4, 5, 7])[1] == 0
    assert [s["step"] - 1 for s in events(tmp_path / "run", "step") if "loss/knowledge" in s] == [4, 5, 7]

    facts = settings["knowledge"]["facts"]
    with open(facts) as file:
        kept = file.read()
    try:
        with open(facts, "a") as file:
            file.write("\n")
        longer = settings | {"sources": {"real": settings["sources"]["real"] | {"tokens": 9 * 128}}}
        process = start(tmp_path / "run", longer | {"knowledge": settings["knowledge"] | {"steps": [4, 5, 7]}})
        assert "started on another knowledge.facts" in process.communicate(timeout=120)[0]
        assert process.returncode == 2
    finally:
        with open(facts, "w") as file:
            file.write(kept)
