"""The small comparison's corpora: what the script makes is what the shipped file expects."""

import runpy

import pytest

from data_tools.corpus.groups import KINDS, page_of, read_groups
from data_tools.corpus.indexed import CORPUS_PREFIX
from data_tools.corpus.manifest import read_manifest
from data_tools.corpus.names import Names
from megatron_ext.compare.preparation import prepare
from megatron_ext.compare.runs import Comparison
from megatron_ext.config import load_comparison
from tests.support import ROOT

FILE = ROOT / "configs" / "experiments" / "megadocs_small.yaml"


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("megadocs")
    make = runpy.run_path(str(ROOT / "examples" / "megadocs_corpora.py"))["make"]
    make(folder / "work", None)
    return folder


def test_the_shipped_small_comparison_can_be_carried_out_on_them(work):
    """Its steps an epoch are right, no held-out page is anywhere, documents fill rows, and its views can be made."""
    path = work / "megadocs_small.yaml"
    path.write_text(FILE.read_text().replace("../../corpora/megadocs/", "work/"))
    comparison = Comparison(load_comparison(path), str(path), work / "out")
    prepare(comparison)
    counts = read_manifest(comparison.view("latent")).counts
    documents = read_manifest(work / "work" / "real").counts["documents"]
    assert counts["groups"] == documents
    assert counts["members"] == documents * 9  # 4 thoughts part a document in 5


def test_stand_ins_for_rephrasings_and_thoughts_are_named_after_their_page_and_told_apart(work):
    pages = {page_of(name) for name in Names(work / "work" / "real" / CORPUS_PREFIX)}
    for name, kind in (("rephrased", "paraphrase"), ("thoughts", "thought")):
        prefix = work / "work" / name / CORPUS_PREFIX
        assert {page_of(name) for name in Names(prefix)} == pages
        assert set(read_groups(prefix)["kind"].tolist()) == {KINDS[kind]}
