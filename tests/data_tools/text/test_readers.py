"""Documents come back as they were written, and a file that can't be read is named, with the line at fault."""

import gzip
import json

import pytest

from data_tools.errors import InputError
from data_tools.text.readers import Document, page_of, read_documents, write_documents

DOCUMENTS = [Document(f"manual/page#{n}", f"Zeile {n}\n\n\tüñ\u2028 日本", "manual", "CC0-1.0") for n in range(5000)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.zst"])
def test_documents_come_back_as_they_were_written(tmp_path, name):
    assert write_documents(tmp_path / name, DOCUMENTS) == len(DOCUMENTS)
    assert list(read_documents([tmp_path / name])) == DOCUMENTS


def test_gzip_files_and_several_files_are_read_in_order(tmp_path):
    write_documents(tmp_path / "a.jsonl", DOCUMENTS[:3])
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    write_documents(tmp_path / "b.jsonl.zst", DOCUMENTS[3:9])
    assert list(read_documents([tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.zst"])) == DOCUMENTS[:9]


def test_joined_zstd_files_are_read_to_the_end(tmp_path):
    write_documents(tmp_path / "a.zst", DOCUMENTS)
    (tmp_path / "joined.zst").write_bytes((tmp_path / "a.zst").read_bytes() * 2)
    assert list(read_documents([tmp_path / "joined.zst"])) == DOCUMENTS * 2


def test_the_same_documents_give_the_same_bytes(tmp_path):
    for name in ("a.jsonl.zst", "b.jsonl.zst"):
        write_documents(tmp_path / name, DOCUMENTS)
    assert (tmp_path / "a.jsonl.zst").read_bytes() == (tmp_path / "b.jsonl.zst").read_bytes()


def test_a_section_belongs_to_its_page():
    assert page_of("postgresql/sql-select#3") == "postgresql/sql-select"
    assert page_of("postgresql/sql-select") == "postgresql/sql-select"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.jsonl: found no such file"):
        list(read_documents([tmp_path / "absent.jsonl"]))


@pytest.mark.parametrize("line", ["not json", "[1, 2]", '"text"', ""])
def test_a_line_that_is_no_json_object_is_named(tmp_path, line):
    good = json.dumps({"id": "a", "text": "b", "source": "c", "licence": "d"})
    (tmp_path / "bad.jsonl").write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(InputError, match=r"bad\.jsonl:2: found"):
        list(read_documents([tmp_path / "bad.jsonl"]))


@pytest.mark.parametrize("key", ["id", "text", "source", "licence"])
def test_a_missing_key_is_named_with_its_line(tmp_path, key):
    row = {"id": "a", "text": "b", "source": "c", "licence": "d"}
    del row[key]
    (tmp_path / "bad.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=rf"bad\.jsonl:1, key '{key}': found no such key"):
        list(read_documents([tmp_path / "bad.jsonl"]))


def test_a_key_of_the_wrong_type_is_named_with_its_type(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"id": "a", "text": ["b"], "source": "c", "licence": "d"}\n')
    with pytest.raises(InputError, match=r"key 'text': found a list, expected a string"):
        list(read_documents([tmp_path / "bad.jsonl"]))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_off_file_is_refused_and_never_read_as_a_shorter_one(tmp_path, suffix, share):
    write_documents(tmp_path / "a.zst", DOCUMENTS)
    write_documents(tmp_path / "a.jsonl", DOCUMENTS)
    (tmp_path / "a.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    whole = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=rf"cut\{suffix}: found bytes that can't be read"):
        list(read_documents([tmp_path / f"cut{suffix}"]))


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".jsonl"])
def test_a_file_of_other_bytes_is_refused_and_named(tmp_path, suffix):
    (tmp_path / f"other{suffix}").write_bytes(b"\xff\xfe\x00 other bytes" * 9)
    with pytest.raises(InputError, match=rf"other\{suffix}: found"):
        list(read_documents([tmp_path / f"other{suffix}"]))
