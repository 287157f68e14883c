"""Ensembles and losses by position, against a plain computation with the exported models."""

import json
import subprocess
import sys

import numpy as np
import pytest

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from tests.support import MODEL, ROOT, make_corpus, run_settings, train_many

LENGTH = 16


def command(*arguments):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "megatron_ext", *map(str, arguments)], cwd=ROOT, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Three runs that differ in their seed, exported, and one that is cut over two ranks."""
    folder = tmp_path_factory.mktemp("ensemble")
    corpus = make_corpus(folder, documents=12)
    settings = run_settings(corpus, steps=6, tokenizer=str(folder / "tokenizer"))
    train_many(folder, {f"seed{seed}": settings | {"seed": seed} for seed in range(3)})
    train_many(
        folder, {f"cut{seed}": settings | {"seed": seed, "layout": {"tensor": 2}} for seed in range(2)}, processes=2
    )
    for seed in range(3):
        command("convert", "export", folder / f"seed{seed}", folder / f"export{seed}")
    return folder


@pytest.fixture(scope="module")
def logits(trained):
    """Of each exported model, for every window of the corpus: shape (members, windows, LENGTH, vocabulary)."""
    import torch
    from transformers import AutoModelForCausalLM

    tokens = np.array(IndexedCorpus(trained / "corpus" / CORPUS_PREFIX).tokens(0, 10**9)).astype(np.int64)
    rows = [tokens[start : start + LENGTH + 1] for start in range(0, len(tokens) - 1, LENGTH)]
    # What fills up the last window is masked, and a causal model sees nothing of it before.
    rows[-1] = np.pad(rows[-1], (0, LENGTH + 1 - len(rows[-1])), constant_values=-1)
    inputs = torch.from_numpy(np.stack([row[:-1] for row in rows])).clamp(min=0)
    members = [AutoModelForCausalLM.from_pretrained(trained / f"export{seed}") for seed in range(3)]
    with torch.no_grad():
        return torch.stack([model(inputs).logits[..., : MODEL["vocabulary"]] for model in members]), rows


def loss(probabilities_log, rows):
    import torch

    labels = torch.from_numpy(np.stack([row[1:] for row in rows]))
    found = -probabilities_log.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return found[labels >= 0]


@pytest.fixture(scope="module")
def together(trained):
    runs = [trained / f"seed{seed}" for seed in range(3)]
    printed = command("eval", *runs, "--heldout", trained / "corpus", "--ensemble", trained / "ensemble.json", "--json")
    result = json.loads((trained / "ensemble.json").read_text())
    assert json.loads(printed) == result
    return result


@pytest.mark.slow
def test_an_ensembles_loss_is_that_of_the_mean_of_logits_and_not_of_probabilities(trained, logits, together):
    import torch

    members, rows = logits
    for count in (1, 2, 3):
        expected = loss(torch.log_softmax(members[:count].mean(0), -1), rows).double().mean().item()
        assert together["losses"][count - 1] == pytest.approx(expected, rel=1e-4)
    by_probabilities = loss(torch.softmax(members, -1).mean(0).log(), rows).double().mean().item()
    by_logits = loss(torch.log_softmax(members.mean(0), -1), rows).double().mean().item()
    assert abs(by_probabilities - by_logits) > 1e-4


@pytest.mark.slow
def test_one_member_alone_has_the_loss_of_its_evaluation(trained, together):
    command("eval", trained / "seed0", "--heldout", trained / "corpus")
    alone = json.loads((trained / "seed0" / "results.json").read_text())["heldout"]["loss"]
    assert together["losses"][0] == pytest.approx(alone, rel=1e-6)


@pytest.mark.slow
def test_the_result_says_what_the_ensemble_tends_to_or_why_that_is_not_known(together):
    assert together["law"] is None or together["law"]["points"] == 3
    assert together["law"] or "no power law" in together["no_law"]


@pytest.mark.slow
def test_members_that_are_cut_over_ranks_give_the_same_losses(trained, together):
    runs = [trained / f"cut{seed}" for seed in range(2)]
    command(
        "eval", *runs, "--heldout", trained / "corpus", "--ensemble", trained / "cut.json", "--processes", 2
    )  # fmt: skip
    assert json.loads((trained / "cut.json").read_text())["losses"] == pytest.approx(together["losses"][:2], rel=1e-4)


@pytest.mark.slow
def test_losses_by_position_are_those_of_the_beginnings_of_long_documents(trained):
    import torch
    from transformers import AutoModelForCausalLM

    command("eval", trained / "seed0", "--heldout", trained / "corpus", "--by-position")
    results = json.loads((trained / "seed0" / "results.json").read_text())
    found = results["by_position"]
    corpus = IndexedCorpus(trained / "corpus" / CORPUS_PREFIX)
    rows = [corpus.document(n)[: LENGTH + 1].astype(np.int64) for n in range(len(corpus)) if corpus.lengths[n] > LENGTH]
    model = AutoModelForCausalLM.from_pretrained(trained / "export0")
    with torch.no_grad():
        scores = model(torch.from_numpy(np.stack([row[:-1] for row in rows]))).logits[..., : MODEL["vocabulary"]]
    expected = loss(torch.log_softmax(scores, -1), rows).double().mean().item()
    assert [(row["from"], row["to"]) for row in found] == [(0, LENGTH - 1)]
    assert found[0]["tokens"] == len(rows) * LENGTH
    assert found[0]["loss"] == pytest.approx(expected, rel=1e-4)
    assert "heldout" in results  # of the evaluation before


def test_buckets_double_and_cover_every_position_once():
    from megatron_ext.evaluation.positions import buckets

    assert buckets(4096) == [(0, 64), (64, 128), (128, 256), (256, 512), (512, 1024), (1024, 2048), (2048, 4096)]
    assert buckets(100) == [(0, 64), (64, 100)]
    assert buckets(16) == [(0, 16)]
