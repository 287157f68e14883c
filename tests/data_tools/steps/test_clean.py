"""Cleaning keeps what is good, counts what it drops and why, and never leaves an empty artifact."""

import pytest

from data_tools.errors import InputError
from data_tools.steps.clean import DOCUMENTS, clean
from data_tools.text.readers import Document, read_documents, write_documents


def written(path, texts):
    write_documents(path, [Document(f"page{n}", text, "s", "CC0-1.0") for n, text in enumerate(texts)])
    return path


def test_each_drop_is_counted_under_its_rule(tmp_path):
    texts = ["one two", "one two\r\n\r\n\r\n", " \n\n", "word " * 11, "word " * 10]
    manifest = clean([written(tmp_path / "a.jsonl", texts)], tmp_path / "clean", max_words=10)
    counts = manifest.counts
    assert (counts["read"], counts["kept"]) == (5, 2)
    assert (counts["dropped_duplicate"], counts["dropped_empty"], counts["dropped_too_long"]) == (1, 1, 1)
    kept = list(read_documents([tmp_path / "clean" / DOCUMENTS]))
    assert [document.id for document in kept] == ["page0", "page4"]


def test_source_and_licence_stay_with_a_document(tmp_path):
    clean([written(tmp_path / "a.jsonl", ["a\r\nb"])], tmp_path / "clean")
    assert list(read_documents([tmp_path / "clean" / DOCUMENTS])) == [Document("page0", "a\nb", "s", "CC0-1.0")]


def test_duplicates_are_found_across_files(tmp_path):
    inputs = [written(tmp_path / "a.jsonl", ["same", "a"]), written(tmp_path / "b.jsonl", ["b", "same"])]
    assert clean(inputs, tmp_path / "clean").counts["dropped_duplicate"] == 1


@pytest.mark.parametrize("texts", [[], ["", "\n \n"], ["far too long"]])
def test_an_empty_corpus_is_refused_and_leaves_no_output(tmp_path, texts):
    with pytest.raises(InputError, match=r"a\.jsonl: found \d documents, of which none is left"):
        clean([written(tmp_path / "a.jsonl", texts)], tmp_path / "clean", max_words=2)
    assert not (tmp_path / "clean").exists()


def test_a_missing_file_is_named_and_leaves_no_output(tmp_path):
    with pytest.raises(InputError, match=r"absent\.jsonl: found no such file"):
        clean([tmp_path / "absent.jsonl"], tmp_path / "clean")
    assert not (tmp_path / "clean").exists()


def test_the_same_command_again_finds_its_work_done_and_another_is_refused(tmp_path):
    source = written(tmp_path / "a.jsonl", ["a", "b"])
    first = clean([source], tmp_path / "clean")
    assert clean([source], tmp_path / "clean") == first
    with pytest.raises(InputError, match="made from other inputs or settings"):
        clean([source], tmp_path / "clean", max_words=7)
    assert clean([source], tmp_path / "clean", max_words=7, replace=True).settings["max_words"] == 7
