"""What can't be used is listed with its file and line, and stops the work only where there is too much of it."""

import json

import pytest

from data_tools.errors import InputError
from data_tools.text.inputs import inputs_of, shards_of
from data_tools.text.readers import Fields, read_shard
from data_tools.text.rejects import REJECTS, Rejects, merge_rejects


def rejected(tmp_path, lines, *, shard_bytes=1 << 20, max_bad_share=1.0):
    """What merge_rejects returns for a file of these lines, and what it wrote."""
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    folders, read = [], 0
    for number, shard in enumerate(shards_of(inputs_of([tmp_path / "a.jsonl"]), shard_bytes)):
        folders.append(tmp_path / str(number))
        folders[-1].mkdir()
        with Rejects(folders[-1]) as rejects:
            read += sum(1 for _ in read_shard(shard, Fields(), rejects))
    counts = merge_rejects(folders, tmp_path, read=read, max_bad_share=max_bad_share)
    listed = tmp_path / REJECTS
    return counts, [json.loads(line) for line in listed.read_text().splitlines()] if listed.exists() else None


GOOD, BAD, EMPTY = b'{"text": "a text"}', b'{"text": 17}', b'{"text": ""}'


@pytest.mark.parametrize("shard_bytes", [10, 33, 100, 1 << 20])
def test_lines_are_those_of_the_file_however_it_was_cut(tmp_path, shard_bytes):
    lines = [BAD if number % 7 == 3 else GOOD * (number % 2) + b" " * (number % 5) or EMPTY for number in range(60)]
    counts, listed = rejected(tmp_path, lines, shard_bytes=shard_bytes)
    assert [row["line"] for row in listed if row["reason"] == "a number"] == list(range(4, 61, 7))
    assert sum(counts.values()) == len(listed)
    assert all(row["file"] == str(tmp_path / "a.jsonl") for row in listed)


def test_a_reject_says_what_is_wrong_with_what(tmp_path):
    _, listed = rejected(tmp_path, [BAD])
    assert listed == [
        {"file": str(tmp_path / "a.jsonl"), "line": 1, "reason": "a number", "key": "text", "beginning": BAD.decode()}
    ]


def test_nothing_is_written_where_nothing_was_rejected(tmp_path):
    assert rejected(tmp_path, [GOOD]) == ({}, None)


def test_one_bad_record_of_three_is_no_surprise(tmp_path):
    assert rejected(tmp_path, [GOOD, BAD, GOOD], max_bad_share=0.001)[0] == {"a number": 1}


def test_more_than_the_share_is_refused_with_the_first_of_them(tmp_path):
    with pytest.raises(InputError, match=r"11 of 100 that can't be used, .*a\.jsonl:90, key 'text': a number; .*:91"):
        rejected(tmp_path, [GOOD] * 89 + [BAD] * 11, max_bad_share=0.1)


def test_a_share_of_0_allows_none(tmp_path):
    with pytest.raises(InputError, match="1 of 3"):
        rejected(tmp_path, [GOOD, BAD, GOOD], max_bad_share=0)


def test_empty_texts_are_listed_and_never_too_many(tmp_path):
    assert rejected(tmp_path, [EMPTY] * 50, max_bad_share=0)[0] == {"an empty text": 50}
