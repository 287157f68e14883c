"""What is measured in a run is what its model knows, in any layout; and the run is none the different for it."""

import json

import numpy as np
import pytest
import torch

from data_tools.text.tokenizer import Tokenizer
from megatron_ext.knowledge.record import FOLDER, PROBES, VALUES, ProbeInfo, read_record
from tests.megatron_ext.knowledge.support import knowledge, write_facts
from tests.support import (
    MODEL,
    losses,
    make_corpus,
    refusal,
    run_module,
    run_settings,
    start,
    train,
    train_by_command,
    train_many,
    wait_for_step,
)  # fmt: skip

STEPS = 5
LAYOUTS = {
    "tensor 2": {"tensor": 2},
    "tensor 2, sequence parallel": {"tensor": 2, "sequence_parallel": True},
    "pipeline 2": {"pipeline": 2},
    "interleaved pipeline 2": {"pipeline": 2, "chunks": 2},
    "data 2": {},
    "data 2, nothing overlapped": {"overlap": False},
}
COMPARED = ("tensor 2", "interleaved pipeline 2", "data 2")
"""Layouts of whose runs one is asked and one is not."""
ASKED_ONLY = {"groups": {}, "probe": {"every": 1}}
"""Nothing is shown, so that a run without any of this trains on the same rows."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a corpus, its tokenizer and facts."""
    folder = tmp_path_factory.mktemp("probes")
    make_corpus(folder)
    write_facts(folder / "facts.json")
    return folder


@pytest.fixture(scope="module")
def alone(place):
    """Runs in one process: shown facts and asked, asked only, neither; with their losses."""
    return train_many(place, {"shown": settings(place), "asked": settings(place, **ASKED_ONLY), "neither": bare(place)})


def bare(place, **changes):
    return run_settings(place / "corpus", steps=STEPS, model=MODEL | {"layers": 4}, **changes)


def settings(place, layout=None, **changes):
    return bare(place, knowledge=knowledge(place / "facts.json", **changes), layout=layout or {})


def events(folder):
    return list(map(json.loads, (folder / "events.jsonl").read_text().splitlines()))


def test_a_run_that_is_asked_trains_to_the_same_losses_bit_for_bit(alone):
    assert alone["asked"] == alone["neither"]
    assert alone["shown"] != alone["neither"]


def test_a_run_is_asked_at_every_nth_step_where_something_is_shown_and_at_its_end(alone, place):
    assert read_record(place / "asked").steps_N.tolist() == [0, 1, 2, 3, 4, 5]
    found = read_record(place / "shown")
    assert found.steps_N.tolist() == [0, 1, 2, 3, 4, 5]  # 0, 2, 4, and 1 and 3, where passages are shown, and 5
    assert found.shown == {0: (1, 3), 1: (1,)}
    assert found.tokens_per_step == 128
    assert len(found.probes) == 18
    assert found.probes[0] == ProbeInfo(0, "duplicated", "memorisation")
    assert found.probes[-1] == ProbeInfo(2, None, "compositional")


def test_what_is_shown_is_known_better_after_that_step_than_without_it(alone, place):
    shown, asked = (read_record(place / name).values_NP for name in ("shown", "asked"))
    assert np.array_equal(shown[:2], asked[:2])  # before update 1, which is the first to show something
    assert not np.array_equal(shown[2], asked[2])


def test_means_are_told_before_the_step_that_follows_and_are_no_part_of_its_time(alone, place):
    told = events(place / "shown")
    order = [(event["event"], event["step"]) for event in told if event["event"] in ("probes", "step")]
    assert order[:4] == [("probes", 0), ("step", 1), ("probes", 1), ("step", 2)]
    first = next(event for event in told if event["event"] == "probes")
    record = read_record(place / "shown")
    mine = [n for n, probe in enumerate(record.probes) if (probe.group, probe.kind) == ("once", "semantic")]
    assert first["once/semantic"] == pytest.approx(record.values_NP[0, mine].mean(), rel=1e-6)
    assert {"not_shown/semantic", "duplicated/compositional"} < first.keys()
    steps = [event for event in told if event["event"] == "step"]
    assert all(step["probe_seconds"] > 0 for step in steps)
    assert "probe_seconds" not in events(place / "neither")[1]


def test_a_finished_run_vouches_for_its_record(alone, place):
    files = json.loads((place / "shown" / "manifest.json").read_text())["outputs"]
    assert {f"{FOLDER}/{PROBES}", f"{FOLDER}/{VALUES}"} <= files.keys()


def test_values_are_those_of_a_plain_forward_pass_of_the_exported_model(alone, place):
    from transformers import AutoModelForCausalLM

    run_module("megatron_ext", "convert", "export", "shown", "hf", "--tokenizer", "tokenizer", folder=place)
    model = AutoModelForCausalLM.from_pretrained(place / "hf", local_files_only=True).eval()
    tokenizer = Tokenizer.load(place / "tokenizer")
    expected = []
    for probe in json.loads((place / "shown" / FOLDER / PROBES).read_text())["probes"]:
        prompt, target = tokenizer.encode([probe["prompt"], " " + probe["target"]])
        with torch.no_grad():
            logits = model(torch.tensor([prompt + target])).logits[0, len(prompt) - 1 : -1].float()
        expected.append(logits.log_softmax(-1)[range(len(target)), target].mean().item())
    assert np.std(expected) > 0.01, "the values say too little"
    assert np.abs(read_record(place / "shown").values_NP[-1] - expected).max() < 1e-4


@pytest.mark.slow
def test_a_layout_changes_no_value_and_being_asked_changes_no_loss_in_any(alone, place, tmp_path):
    runs = {name: settings(place, layout) for name, layout in LAYOUTS.items()}
    for name in COMPARED:
        runs[f"{name}, asked"] = settings(place, LAYOUTS[name], **ASKED_ONLY)
        runs[f"{name}, neither"] = bare(place, layout=LAYOUTS[name])
    found = train_many(tmp_path, runs, processes=2)
    found |= train_many(tmp_path, {"data 2 x pipeline 2": settings(place, {"pipeline": 2})}, processes=4)
    expected = read_record(place / "shown")
    for name in [*LAYOUTS, "data 2 x pipeline 2"]:
        record = read_record(tmp_path / name)
        assert np.array_equal(record.steps_N, expected.steps_N)
        assert np.abs(record.values_NP - expected.values_NP).max() < 1e-5, name
    for name in COMPARED:
        assert found[f"{name}, asked"] == found[f"{name}, neither"], name


@pytest.mark.slow
def test_a_run_killed_and_started_again_has_the_record_of_an_undisturbed_one(place, tmp_path):
    often = {"checkpoint": {"every": 3, "asynchronous": False}}
    wanted = run_settings(place / "corpus", steps=12, knowledge=knowledge(place / "facts.json"), **often)
    undisturbed = train(tmp_path / "undisturbed", wanted, processes=2)
    run = tmp_path / "killed"
    process = start(run, wanted, processes=2)
    wait_for_step(run, process, 5)
    process.kill()
    process.wait()
    assert len(losses(run)) < 12, "the run ended before it was killed"
    values = run / FOLDER / VALUES
    values.write_bytes(values.read_bytes() + b"torn")
    assert train_by_command(run, wanted, processes=2) == undisturbed
    for name in (PROBES, VALUES):
        assert (run / FOLDER / name).read_bytes() == (tmp_path / "undisturbed" / FOLDER / name).read_bytes()


def test_facts_that_a_run_was_not_begun_with_are_refused_before_anything_starts(alone, place, tmp_path, capsys):
    other = tmp_path / "facts.json"
    other.write_text((place / "facts.json").read_text().replace("select", "insert"))
    changed = bare(place, knowledge=knowledge(other))
    assert "started on another knowledge.facts" in refusal(place / "shown", changed, capsys)
