"""A run goes on with more tokens, another mixture, another batch, other weights; its past is never changed."""

import json

import pytest

from tests.support import losses, make_corpus, refusal, run_settings, train, train_many

STEPS = 6


def planned(corpus, **changes):
    return run_settings(corpus, steps=STEPS) | changes


def phases(corpus, second):
    """The run's corpus for STEPS steps, then a mixture with another one for two more."""
    real, synthetic = second
    changes = {
        "sources": {"real": {"corpus": str(corpus)}, "synthetic": {"corpus": str(corpus), "max_epochs": 1}},
        "phases": [{"tokens": {"real": STEPS * 128}}, {"tokens": {"real": real, "synthetic": synthetic}}],
    }
    return planned(corpus, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A corpus, and runs of it that have ended."""
    place = tmp_path_factory.mktemp("continuing")
    corpus = make_corpus(place)
    constant = {"peak_lr": 0.01, "end_lr": 0.01, "decay": "constant"}
    longer = run_settings(corpus, steps=STEPS + 2, schedule=constant)
    runs = {name: planned(corpus, schedule=constant) for name in ("more", "mixed", "ramped", "first")}
    train_many(place, runs | {"undisturbed": longer})
    return place


def test_a_run_that_is_given_more_tokens_goes_on_as_if_it_had_had_them(folder):
    settings = run_settings(folder / "corpus", steps=STEPS + 2, schedule={"peak_lr": 0.01, "decay": "constant"})
    assert train(folder / "more", settings) == losses(folder / "undisturbed")
    assert json.loads((folder / "more" / "manifest.json").read_text())["counts"]["steps"] == STEPS + 2


def test_a_new_mixture_is_a_phase_after_what_was_trained(folder):
    before = losses(folder / "mixed")
    settings = phases(folder / "corpus", (128, 128))
    found = train(folder / "mixed", settings)
    assert found[:STEPS] == before
    assert len(found) == STEPS + 2
    steps = [json.loads(line) for line in (folder / "mixed" / "events.jsonl").read_text().splitlines()]
    last = [event for event in steps if event["event"] == "step"][-1]
    assert {"loss/real", "loss/synthetic", "trained/synthetic", "epochs/synthetic"} <= last.keys()
    assert last["trained/synthetic"] == 128


def test_a_larger_batch_after_what_was_trained_is_a_stage_of_the_ramp(folder):
    batch = {"sequence_length": 16, "global_batch": 16, "micro_batch": 2}
    ramp = [{"until_tokens": STEPS * 128, "global_batch": 8}]
    settings = run_settings(folder / "corpus", steps=STEPS + 4, batch=batch | {"ramp": ramp})
    before = losses(folder / "ramped")
    found = train(folder / "ramped", settings)
    assert found[:STEPS] == before
    assert len(found) == STEPS + 2  # 4 x 128 more tokens are 2 steps of 256


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": {"sequence_length": 16, "global_batch": 16, "micro_batch": 2}}, "ended after sample"),
        ({"seed": 2}, "seed was 1234 and is now 2"),
    ],
    ids=["another batch from the beginning", "another seed"],
)
def test_a_changed_past_is_refused_and_said(changes, said, folder, capsys):
    settings = run_settings(folder / "corpus", steps=STEPS + 2) | changes
    assert said in refusal(folder / "first", settings, capsys)


def test_another_model_in_the_folder_of_a_run_is_refused_by_what_differs(folder, capsys):
    settings = planned(folder / "corpus")
    settings["model"] = settings["model"] | {"ffn": 96}
    assert "a run of another model (ffn)" in refusal(folder / "first", settings, capsys)


def test_the_optimizer_of_an_earlier_run_is_kept_or_fresh_and_the_schedule_is_always_the_new_one(folder):
    settings = planned(folder / "corpus", init_from=str(folder / "first"), schedule={"peak_lr": 0.002}, seed=7)
    one = folder / "first" / "checkpoints" / f"step_{STEPS:08d}"
    runs = {"kept": settings | {"init_optimizer": "kept"}, "fresh": settings, "one": settings | {"init_from": str(one)}}
    found = train_many(folder, runs)
    assert found["one"] == found["fresh"]  # a run may name one of its checkpoints too
    assert found["kept"][0] == found["fresh"][0]  # the same weights and samples, before any step
    assert found["kept"][1:] != found["fresh"][1:]
    first = next(line for line in (folder / "kept" / "events.jsonl").read_text().splitlines() if '"step"' in line
                 and '"lr"' in line)  # fmt: skip
    assert json.loads(first)["lr"] == 0.002


def test_weights_of_another_model_are_refused(folder, capsys):
    settings = planned(folder / "corpus", init_from=str(folder / "first"))
    settings["model"] = settings["model"] | {"ffn": 96}
    assert "found ffn 64, expected this run's ffn 96" in refusal(folder / "other", settings, capsys)


def test_a_corpus_of_another_tokenizer_than_the_others_is_refused(folder, tmp_path, capsys):
    settings = planned(folder / "corpus")
    other = make_corpus(tmp_path, documents=30, name="other")
    settings["sources"]["other"] = {"corpus": str(other), "tokens": STEPS * 128}
    assert "found another tokenizer" in refusal(tmp_path / "run", settings, capsys)


def test_a_place_that_cannot_be_a_run_folder_is_refused(folder, tmp_path, capsys):
    (tmp_path / "run").write_text("")
    assert "found a file, expected a folder" in refusal(tmp_path / "run", planned(folder / "corpus"), capsys)


def test_a_model_too_large_for_the_machine_is_refused_with_what_it_needs(folder, tmp_path, capsys):
    settings = planned(folder / "corpus")
    settings["model"] = settings["model"] | {"hidden": 65536, "ffn": 262144, "layers": 80}
    assert "GiB needed by the fullest rank (weights" in refusal(tmp_path / "run", settings, capsys)


def test_what_needs_transformer_engine_is_refused_without_it(folder, tmp_path, capsys):
    settings = planned(folder / "corpus", precision="fp8")
    assert "no Transformer Engine" in refusal(tmp_path / "run", settings, capsys)
