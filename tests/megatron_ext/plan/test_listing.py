"""`plan` on the command line: what a run costs phase by phase, and which documents any of its steps read."""

import json

import pytest
import yaml

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.names import Names
from megatron_ext.cli.main import main
from megatron_ext.config import load_run
from megatron_ext.data.sources import open_sources
from megatron_ext.plan.samples import SamplePlan
from tests.support import make_corpus, run_settings


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    """Two phases over one corpus; the last step is partial."""
    folder = tmp_path_factory.mktemp("listing")
    corpus = make_corpus(folder)
    settings = run_settings(corpus, steps=1) | {
        "sources": {"real": {"corpus": str(corpus)}, "more": {"corpus": str(corpus)}},
        "phases": [{"tokens": {"real": 160}}, {"tokens": {"real": 64, "more": 64}, "stop": 64}],
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_the_documents_of_a_step_can_be_traced_by_name(run_file, capsys):
    assert main(["plan", str(run_file), "--steps", "0:2", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["samples"]
    config = load_run(run_file)
    sources = open_sources(config)
    plan = SamplePlan.of(config, {name: source.extent for name, source in sources.items()})
    prefix = config.sources["real"].corpus / CORPUS_PREFIX
    corpus, ids = IndexedCorpus(prefix), list(Names(prefix))
    assert [(row["step"], row["sample"]) for row in listed] == [(i // 8, i) for i in range(14)]
    for row in listed:
        tokens = sources[row["source"]].row(plan.locate(row["sample"])).tokens_S.tolist()
        read = [token for name in row["documents"] for token in corpus.document(ids.index(name)).tolist()]
        assert any(read[at : at + 16] == tokens for at in range(len(read)))


def test_a_listing_for_people_has_a_line_for_each_sample(run_file, capsys):
    assert main(["plan", str(run_file), "--steps", "1:2"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split("\t") == ["step", "sample", "source", "epoch", "start", "documents"]
    assert [row.split("\t")[:2] for row in rows] == [["1", str(i)] for i in range(8, 14)]
    assert all("manual/" in row for row in rows)


def test_a_corpus_without_names_lists_the_numbers_of_its_documents(run_file, capsys):
    names = load_run(run_file).sources["real"].corpus / f"{CORPUS_PREFIX}.names.npy"
    aside = names.rename(names.with_suffix(".aside"))
    try:
        assert main(["plan", str(run_file), "--steps", "0:1", "--json"]) == 0
    finally:
        aside.rename(names)
    documents = [number for row in json.loads(capsys.readouterr().out)["samples"] for number in row["documents"]]
    assert documents
    assert all(isinstance(number, int) for number in documents)


def test_a_plan_says_what_each_phase_takes_and_what_a_gpu_and_a_checkpoint_hold(run_file, capsys):
    assert main(["plan", str(run_file), "--ranks", "2", "--json"]) == 0
    budget = json.loads(capsys.readouterr().out)
    assert {name: source["phases"] for name, source in budget["sources"].items()} == {
        "real": [160, 32],
        "more": [0, 32],
    }
    assert (budget["steps"], budget["samples"], budget["ranks"]) == (2, 14, 2)
    assert budget["checkpoint_bytes"] == 16 * budget["parameters"]
    assert budget["memory_per_gpu"]["total"] > 0
    assert main(["plan", str(run_file)]) == 0
    printed = capsys.readouterr().out
    assert "phase 0" in printed
    assert "checkpoint_bytes" in printed
