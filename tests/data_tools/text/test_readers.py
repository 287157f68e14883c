"""Documents come back as they were written, and a file that can't be read is named, with the line at fault."""

import gzip
import json

import pytest
import zstandard

from data_tools.errors import InputError
from data_tools.lines import LONGEST_LINE
from data_tools.text.inputs import inputs_of, shards_of
from data_tools.text.readers import Document, Fields, page_of, read_documents, read_shard, write_documents

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
    with pytest.raises(InputError, match=rf"other\{suffix}(:1)?: found"):
        list(read_documents([tmp_path / f"other{suffix}"]))


def read(paths, fields=None, shard_bytes=1 << 20):
    """Documents and rejects of the shards, one after the other."""
    rejects = []
    shards = shards_of(inputs_of(paths), shard_bytes)
    return [document for shard in shards for document in read_shard(shard, fields or Fields(), rejects.append)], rejects


def lines_in(path, *lines):
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


@pytest.mark.parametrize("shard_bytes", [1, 7, 50, 1000, 10**6])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_is_read_in_exactly_one_shard_wherever_the_file_is_cut(tmp_path, shard_bytes, end):
    rows = [json.dumps({"id": str(n), "text": "x" * (1 + n * 7 % 40)}).encode() for n in range(1, 30)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(rows) + end)
    documents, _ = read([tmp_path / "a.jsonl"], shard_bytes=shard_bytes)
    assert [int(document.id) for document in documents] == list(range(1, 30))


def test_a_record_without_names_is_called_by_its_place(tmp_path):
    lines_in(tmp_path / "a.jsonl", b'{"text": "one"}', b'{"id": null, "text": "two"}', b'{"id": 7, "text": "three"}')
    documents, _ = read([tmp_path / "a.jsonl"])
    assert [document.id for document in documents] == ["a.jsonl@0", "a.jsonl@16", "7"]
    assert {(document.source, document.licence) for document in documents} == {("a.jsonl", "")}


def test_keys_can_be_chosen_also_inside_of_others(tmp_path):
    lines_in(tmp_path / "a.jsonl", b'{"meta": {"url": "u", "by": "b"}, "content": "t", "set": "s"}')
    fields = Fields(text="content", id="meta.url", source="set", licence="meta.by")
    assert read([tmp_path / "a.jsonl"], fields)[0] == [Document("u", "t", "s", "b")]


def test_what_cannot_be_used_is_told_with_its_line_and_the_rest_is_read(tmp_path):
    bad = [
        b"", b"{", b'{"text": 1}', b'{"id": [], "text": "a"}', b"[]", b'{"text": "\xff"}', b'{"text": " "}',
        b"[" * 10**6, b"\0", b'{"text": "a\0b"}', b"{}", b"1" * 9999,
    ]  # fmt: skip
    good = [b'{"text": "\\ud800 half", "n": NaN}', b'{"text": "\\u0000"}', b'{"text": "windows"}\r']
    lines_in(tmp_path / "a.jsonl", *bad, *good)
    documents, rejects = read([tmp_path / "a.jsonl"])
    assert [reject.line for reject in rejects] == list(range(1, len(bad) + 1))
    assert [reject.reason for reject in rejects][:8] == [
        "an empty line", "no JSON", "a number", "a list", "a list, no object", "no UTF-8", "an empty text",
        "JSON that is nested too deep",
    ]  # fmt: skip
    assert [document.text for document in documents] == ["\ufffd half", "\0", "windows"]


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst"])
def test_of_a_file_that_is_cut_off_the_whole_lines_are_read_and_the_rest_is_one_reject(tmp_path, suffix):
    write_documents(tmp_path / "a.jsonl.zst", DOCUMENTS)
    write_documents(tmp_path / "a.jsonl", DOCUMENTS)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    whole = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(whole[: len(whole) * 2 // 3])
    documents, (reject,) = read([tmp_path / f"cut{suffix}"])
    assert documents == DOCUMENTS[: len(documents)]
    assert f"{len(documents)} lines before it" in reject.detail


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    lines_in(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "a"}')
    lines_in(tmp_path / "b.txt", b"\xef\xbb\xbfb")
    assert [document.text for document in read([tmp_path])[0]] == ["a", "b\n"]


def test_a_text_file_is_a_document_called_by_its_path_in_the_folder(tmp_path):
    (tmp_path / "manual" / "part").mkdir(parents=True)
    (tmp_path / "manual" / "part" / "a.md").write_text("# A\n")
    (tmp_path / "manual" / "bad.txt").write_bytes(b"\xff")
    documents, rejects = read([tmp_path / "manual"])
    assert documents == [Document("part/a.md", "# A\n", "part", "")]
    assert [(reject.line, reject.reason) for reject in rejects] == [(0, "no UTF-8")]


def parquet_file(path, rows, groups=10):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.Table.from_pylist(rows), path, row_group_size=groups)
    return path


@pytest.mark.parametrize("shard_bytes", [500, 1 << 20])
def test_parquet_rows_are_documents_and_the_bad_ones_are_told_by_row(tmp_path, shard_bytes):
    rows = [{"text": f"text {n}" if n % 10 else None, "meta": {"url": f"u{n}"}, "other": n} for n in range(95)]
    path = parquet_file(tmp_path / "a.parquet", rows)
    documents, rejects = read([path], Fields(id="meta.url"), shard_bytes)
    assert [document.id for document in documents] == [f"u{n}" for n in range(95) if n % 10]
    assert [reject.line for reject in rejects] == [n + 1 for n in range(95) if n % 10 == 0]
    assert read([path])[0][0].id == "a.parquet:2"


def test_parquet_without_the_text_is_rejected_row_by_row(tmp_path):
    _, rejects = read([parquet_file(tmp_path / "a.parquet", [{"other": n} for n in range(5)])])
    assert [(reject.line, reject.found) for reject in rejects] == [(n + 1, "no such key") for n in range(5)]


def test_a_torn_parquet_file_is_one_reject(tmp_path):
    path = parquet_file(tmp_path / "a.parquet", [{"text": f"text {n}"} for n in range(95)])
    path.write_bytes(path.read_bytes()[:-20])
    documents, (reject,) = read([path])
    assert not documents
    assert reject.reason == "bytes that can't be read"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("shard_bytes", [10 << 20, 1 << 30])
def test_a_line_of_100_mb_is_rejected_and_the_next_one_read(tmp_path, shard_bytes, suffix):
    huge = b'{"text": "' + b"a" * (LONGEST_LINE * 3 // 2) + b'"}'
    path = lines_in(tmp_path / f"a.jsonl{suffix}", b'{"text": "before"}', huge, b'{"text": "after"}')
    path.write_bytes({".gz": gzip.compress, ".zst": zstandard.compress}.get(suffix, bytes)(path.read_bytes()))
    documents, (reject,) = read([path], shard_bytes=shard_bytes)
    assert [document.text for document in documents] == ["before", "after"]
    assert reject.reason == "more than 64 MiB without a line break"
