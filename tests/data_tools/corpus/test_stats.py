"""The figures of a corpus are those of its documents, however many are read at a time."""

import numpy as np
import pytest

from data_tools.corpus import stats as module
from data_tools.corpus.indexed import CorpusWriter, token_dtype
from data_tools.corpus.names import NameFiles, write_sidecars
from data_tools.corpus.stats import stats
from data_tools.corpus.stats_page import page

LENGTHS = [5, 1, 9, 2000, 40, 7, 7, 64]
NAMES = ["git/a#0", "git/a#1", "perl/x", "linux/cpu#0", "linux/io#0", "</script><b>", "git/b", "perl/y"]


@pytest.fixture
def corpus(tmp_path):
    with CorpusWriter(tmp_path / "corpus", token_dtype(600)) as writer, NameFiles(tmp_path) as names:
        for length in LENGTHS:
            writer.add(np.arange(length) % 600)
        names.add(NAMES)
    write_sidecars(tmp_path / "corpus", tmp_path, kind="synthetic")
    return tmp_path


def test_figures_add_up_and_sources_come_largest_first(corpus):
    found = stats(corpus)
    assert (found["documents"], found["tokens"]) == (8, 2133)
    assert found["tokens_per_document"] == {
        "least": 1, "p10": 1, "median": 9, "p90": 2000, "most": 2000, "mean": 2133 / 8,
    }  # fmt: skip
    assert [(row["from"], row["to"]) for row in found["lengths"][:3]] == [(1, 1), (2, 3), (4, 7)]
    assert [row["documents"] for row in found["lengths"]] == [1, 0, 3, 1, 0, 1, 1, 0, 0, 0, 1]
    assert sum(row["tokens"] for row in found["lengths"]) == 2133
    assert found["kinds"] == {"synthetic": {"documents": 8, "tokens": 2133}}
    assert list(found["sources"]) == ["linux", "perl", "git", "<"]
    assert found["sources"]["git"] == {"documents": 3, "tokens": 13}


def test_the_figures_are_the_same_for_any_size_of_block(corpus, monkeypatch):
    whole = stats(corpus)
    monkeypatch.setattr(module, "CHUNK", 3)
    assert stats(corpus) == whole


def test_small_sources_are_counted_together(corpus, monkeypatch):
    monkeypatch.setattr(module, "LISTED", 1)
    assert stats(corpus)["sources"] == {
        "linux": {"documents": 2, "tokens": 2040}, "others": {"documents": 6, "tokens": 93},
    }  # fmt: skip


def test_a_corpus_without_sidecars_is_counted_too(corpus):
    for path in corpus.glob("corpus.*.*"):
        path.unlink()
    found = stats(corpus)
    assert found["documents"] == 8
    assert not {"kinds", "sources"} & set(found)


def test_the_page_needs_no_network_and_holds_names_as_text_only(corpus):
    html = page("my <corpus>", stats(corpus))
    assert "8 documents, 2,133 tokens" in html
    assert "</script><b>" not in html
    assert '<script src="http' not in html
