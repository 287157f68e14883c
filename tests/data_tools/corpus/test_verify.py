"""A whole corpus is found whole; a damaged, missing or added file is named."""

import numpy as np
import pytest

from data_tools.corpus.indexed import HEADER, CorpusWriter, file_of, token_dtype
from data_tools.corpus.manifest import run_step
from data_tools.corpus.names import NameFiles, write_sidecars
from data_tools.corpus.verify import verify, verify_corpus
from data_tools.errors import InputError

COUNT = 5


def build(folder):
    with CorpusWriter(folder / "corpus", token_dtype(600)) as writer:
        for number in range(COUNT):
            writer.add(np.arange(number + 2))
    write_names(folder, [f"page{number}" for number in range(COUNT)])
    return {"documents": COUNT}


def write_names(folder, names):
    with NameFiles(folder) as files:
        files.add(names)
    write_sidecars(folder / "corpus", folder, kind="real")


@pytest.fixture
def corpus(tmp_path):
    run_step(tmp_path / "corpus", step="tokenize", inputs={}, settings={}, build=build)
    return tmp_path / "corpus"


def test_a_whole_corpus_is_found_whole(corpus):
    assert verify(corpus).counts == {"documents": COUNT}


@pytest.mark.parametrize("name", [f"corpus.{end}" for end in ("bin", "idx", "groups.npy", "names.bin", "names.npy")])
def test_a_single_changed_bit_is_found_and_its_file_named(corpus, name):
    data = bytearray((corpus / name).read_bytes())
    data[-1] ^= 1
    (corpus / name).write_bytes(data)
    with pytest.raises(InputError, match=rf"{name}: found hash"):
        verify(corpus)


def test_a_missing_file_is_named(corpus):
    (corpus / "corpus.idx").unlink()
    with pytest.raises(InputError, match=r"corpus\.idx: found no such file"):
        verify(corpus)


def test_a_file_that_nobody_made_is_named(corpus):
    (corpus / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt: found a file that the manifest does not name"):
        verify(corpus)


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"manifest\.json: found no such file"):
        verify(tmp_path)


@pytest.mark.parametrize(("position", "what"), [(4 * COUNT + 8, "out of place"), (12 * COUNT + 8, "boundaries")])
def test_an_index_that_contradicts_itself_is_named_even_with_a_fitting_hash(tmp_path, position, what):
    build(tmp_path)
    path = file_of(tmp_path / "corpus", ".idx")
    data = bytearray(path.read_bytes())
    data[HEADER.size + position] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"corpus\.idx: found .*{what}"):
        verify_corpus(tmp_path / "corpus")


def test_sidecars_of_another_corpus_are_named(tmp_path):
    build(tmp_path)
    write_names(tmp_path, ["page0"])
    with pytest.raises(InputError, match=r"corpus\.groups\.npy: found an array of shape \(1,\)"):
        verify_corpus(tmp_path / "corpus")
