"""The intervals of a run, beside those that going through each of its samples gives."""

from pathlib import Path

import numpy as np
import pytest

from data_tools.corpus.indexed import IndexedCorpus
from data_tools.errors import InputError
from megatron_ext.config import RunConfig, run_from_dict
from megatron_ext.data.finding import find
from megatron_ext.data.sources import open_sources
from megatron_ext.knowledge.intervals import SYNTHETIC, TOGETHER, intervals
from megatron_ext.knowledge.threshold import Threshold
from megatron_ext.plan.inverse import InversePlan
from megatron_ext.plan.samples import SamplePlan
from tests.megatron_ext.knowledge.family import DOCUMENTS, every_showing, make_family, root_of, run_over
from tests.support import make_corpus, run_settings

KINDS = {"corpus": "real", "rephrased": "rephrase", "thoughts": "thought", "asked": "qa"}
RUNS = {
    "one corpus, read six times": {"real": {"corpus": "corpus"}},
    "in order": {"real": {"corpus": "corpus", "order": "in_order"}},
    "corpora made of one another": {
        "real": {"corpus": "corpus"}, "said": {"corpus": "rephrased"}, "asked": {"corpus": "asked"},
        "thoughts": {"corpus": "thoughts"},
    },
    "stitched megadocs": {"mega": {"corpus": "stitched", "kind": "megadocs"}},
    "members in another order in each epoch": {
        "mega": {"corpus": "stitched", "kind": "megadocs", "members": "permuted"}, "real": {"corpus": "corpus"},
    },
    "thoughts inside of documents": {"mega": {"corpus": "latent", "kind": "megadocs"}},
    "a view written out as a corpus": {"mega": {"corpus": "written"}},
    "pairs": {"pairs": {"corpus": "corpus", "kind": "pairs", "pairs": "pairs"}, "real": {"corpus": "corpus"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_family(tmp_path_factory.mktemp("family"))


def config_of(folder: Path, name: str, *, steps: int = 40) -> RunConfig:
    return run_over(folder, steps=steps, row=256 if name == "pairs" else 16, **RUNS[name])


@pytest.mark.parametrize("name", RUNS)
def test_each_document_is_shown_at_the_steps_that_going_through_all_samples_finds(folder: Path, name: str) -> None:
    config = config_of(folder, name)
    found = intervals(config)
    by_kind: dict[str, list[set[int]]] = {}
    for corpus, document, step in every_showing(config):
        root = root_of(folder, corpus, document)
        for kind in {KINDS[corpus], SYNTHETIC if corpus != "corpus" else "real", TOGETHER}:
            by_kind.setdefault(kind, [set() for _ in range(DOCUMENTS)])[root].add(step)
    assert set(found["kinds"]) - {SYNTHETIC} == set(by_kind) - {SYNTHETIC}
    for kind, figures in found["kinds"].items():
        steps = [sorted(of_document) for of_document in by_kind[kind]]
        again = [(s[-1] - s[0]) / (len(s) - 1) for s in steps if len(s) > 1]
        assert figures["documents"] == DOCUMENTS
        assert figures["never"] == sum(not s for s in steps)
        assert figures["once"] == sum(len(s) == 1 for s in steps)
        assert figures["showings"]["mean"] == pytest.approx(np.mean([len(s) for s in steps]))
        assert figures["interval"]["median"] == pytest.approx(np.median(again))
        assert figures["interval"]["most"] == pytest.approx(max(again))
        assert figures["longest"]["most"] == max(np.diff(s).max() for s in steps if len(s) > 1)
        assert figures["interval_tokens"]["mean"] == pytest.approx(np.mean(again) * config.batch.tokens_per_step)
        assert sum(row["documents"] for row in figures["histogram"]) == len(again)


def test_the_steps_of_a_document_are_among_those_that_the_plan_lists_it_in(folder: Path) -> None:
    config = config_of(folder, "one corpus, read six times")
    sources = open_sources(config)
    plan = SamplePlan.of(config, {"real": sources["real"].extent})
    places = find("real", sources["real"], [np.arange(DOCUMENTS)], InversePlan(plan))
    for epoch in range(3):
        for document, i in zip(places.item, places.samples(epoch), strict=True):
            assert i < 0 or document in sources["real"].documents(plan.locate(int(i)))


def test_a_document_cut_over_many_windows_is_shown_once_in_a_reading(folder: Path) -> None:
    """Documents of some 40 tokens in rows of 4: ten windows each."""
    found = intervals(run_over(folder, steps=100, row=4, real={"corpus": "corpus"}))["kinds"]["real"]
    tokens = IndexedCorpus(folder / "corpus" / "corpus").token_count
    readings = 100 * 8 // (tokens // 4)
    assert readings > 4
    assert readings <= found["showings"]["least"] <= found["showings"]["most"] <= readings + 1


def test_documents_that_are_seen_once_or_never_are_counted_and_not_learnt(folder: Path) -> None:
    config = run_over(folder, steps=2, real={"corpus": "corpus"})
    found = intervals(config, threshold=Threshold(1000, "given"))["kinds"]["real"]
    assert found["never"] > 0
    assert found["never"] + found["once"] == DOCUMENTS
    assert found["interval"] is None
    assert found["verdict"]["not_learnt"] == 1.0
    worst = intervals(config)["worst"]
    assert [row["showings"] for row in worst] == sorted(row["showings"] for row in worst)


def test_the_corpus_of_the_seeds_has_to_be_read_or_named(folder: Path) -> None:
    config = run_over(folder, asked={"corpus": "asked"})
    with pytest.raises(InputError, match="--seeds"):
        intervals(config, seeds=[folder / "corpus"])
    found = intervals(config, seeds=[folder / "corpus", folder / "rephrased"])
    assert found["documents"]["in_all"] == DOCUMENTS
    assert found["kinds"]["real"]["never"] == DOCUMENTS
    assert found["kinds"]["qa"]["never"] == sum(number % 4 == 0 for number in range(DOCUMENTS))


def test_of_many_documents_a_sample_is_looked_at_and_gives_the_same_answers_within_its_interval(
    tmp_path: Path,
) -> None:
    make_corpus(tmp_path, documents=400)
    config = run_over(tmp_path, steps=300, real={"corpus": "corpus"})
    given = Threshold(110, "given")
    whole = intervals(config, threshold=given)
    drawn = intervals(config, threshold=given, most=150)
    assert whole["documents"]["exact"]
    assert drawn["documents"] == {"in_all": 400, "looked_at": 150, "exact": False}
    judged = drawn["kinds"]["real"]["verdict"]
    assert judged["low"] <= whole["kinds"]["real"]["verdict"]["not_learnt"] <= judged["high"]
    assert judged["low"] < judged["not_learnt"] < judged["high"]
    assert intervals(config, threshold=given, most=150) == drawn


def test_phases_and_a_ramp_move_the_steps_and_not_the_count(folder: Path) -> None:
    settings = run_settings(folder / "corpus", steps=1)
    settings["sources"] = {name: {"corpus": str(folder / name)} for name in ("corpus", "rephrased")}
    settings["phases"] = [
        {"tokens": {"corpus": 1600, "rephrased": 320}, "stop": 1280}, {"tokens": {"rephrased": 1600}},
        {"tokens": {"corpus": 800}},
    ]  # fmt: skip
    settings["batch"]["ramp"] = [{"until_tokens": 640, "global_batch": 2}]
    require_the_steps_of_every_sample(folder, run_from_dict(settings, where="test"))


def test_a_blend_shows_the_real_documents_in_all_of_its_epochs(folder: Path) -> None:
    """453 tokens are 3 whole steps of 8 rows of 16."""
    settings = run_settings(folder / "corpus", steps=1)
    settings["sources"] = {"real": {"corpus": str(folder / "corpus")},
                           "mega": {"corpus": str(folder / "stitched"), "kind": "megadocs"}}  # fmt: skip
    settings["blend"] = {"epochs": 4, "steps_per_epoch": 3, "weights": {"mega": 0.5}}
    require_the_steps_of_every_sample(folder, run_from_dict(settings, where="test"))


def require_the_steps_of_every_sample(folder: Path, config: RunConfig) -> None:
    steps: dict[int, list[int]] = {}
    for corpus, document, step in sorted(every_showing(config), key=lambda shown: shown[2]):
        steps.setdefault(root_of(folder, corpus, document), []).append(step)
    found = intervals(config)["kinds"][TOGETHER]
    expected = [len(set(steps.get(root, []))) for root in range(DOCUMENTS)]
    assert found["showings"]["mean"] == pytest.approx(np.mean(expected))
    assert found["longest"]["most"] == max(np.diff(sorted(set(s))).max() for s in steps.values() if len(set(s)) > 1)
