"""Held-out pages: a corpus that has a document of one, or something made of one, is refused."""

from pathlib import Path

import pytest

from data_tools.corpus.apart import BLOCK, require_apart
from data_tools.corpus.names import NameFiles, write_sidecars
from data_tools.errors import InputError


def named(folder: Path, names: list[str]) -> Path:
    """As far as names go, a corpus."""
    folder.mkdir()
    with NameFiles(folder) as files:
        files.add(names)
    write_sidecars(folder / "corpus", folder, kind="real")
    return folder


@pytest.fixture
def heldout(tmp_path):
    return named(tmp_path / "heldout", ["a/1#0", "a/1#1", "日本#0", "plain"])


@pytest.mark.parametrize("name", ["a/1#7", "a/1#0.rephrase-3", "日本#0.sbp-17-0", "plain", "plain#0.thought-1"])
def test_a_document_of_a_held_out_page_is_found_whatever_was_made_of_it(tmp_path, heldout, name):
    other = named(tmp_path / "other", ["a/2#0", name])
    with pytest.raises(InputError, match="found 1 documents of pages that are held out") as error:
        require_apart(heldout, [named(tmp_path / "clean", ["a/2#0"]), other])
    assert str(other) in str(error.value)


def test_pages_whose_names_only_begin_alike_are_apart(tmp_path, heldout):
    require_apart(heldout, [named(tmp_path / "other", ["a/11#0", "a/#1", "plain2", "日#0", ""])])


def test_a_page_beyond_the_first_block_is_found(tmp_path, heldout):
    names = [f"b/{number}#0" for number in range(BLOCK)] + ["c#0", "a/1#5"]
    with pytest.raises(InputError, match="'a/1'"):
        require_apart(heldout, [named(tmp_path / "other", names)])


def test_a_corpus_without_names_is_refused(tmp_path, heldout):
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match="names of the documents"):
        require_apart(heldout, [tmp_path / "bare"])
