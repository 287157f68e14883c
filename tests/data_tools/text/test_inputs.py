"""Whatever a user names becomes the same files and the same shards, every time and for everyone."""

import pickle
import time

import pytest

from data_tools.corpus.manifest import run_step
from data_tools.errors import InputError
from data_tools.text.inputs import inputs_of, shards_of


def files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"text": "a"}\n')


def names(inputs):
    return list(inputs.names)


def test_a_folder_is_searched_in_order_and_what_else_lies_there_is_counted(tmp_path):
    files(tmp_path, "b.jsonl", "a/z.jsonl.zst", "a/b.md", "c.parquet", "d.png", "e.tar.gz", ".hidden/f.jsonl", ".g.txt")
    found = inputs_of([tmp_path])
    assert names(found) == ["a/b.md", "a/z.jsonl.zst", "b.jsonl", "c.parquet"]
    assert found.passed_over == 2


def test_a_glob_is_looked_up_as_a_shell_would(tmp_path):
    files(tmp_path, "x/b.jsonl", "x/a.jsonl", "y/a.jsonl", "y/c.png", "z.txt")
    assert names(inputs_of([tmp_path / "*" / "a.jsonl"])) == ["x/a.jsonl", "y/a.jsonl"]
    assert names(inputs_of([tmp_path / "**" / "*.jsonl"])) == ["x/a.jsonl", "x/b.jsonl", "y/a.jsonl"]
    assert names(inputs_of([tmp_path / "[xy]"])) == ["x/a.jsonl", "x/b.jsonl", "y/a.jsonl"]


def test_a_file_that_is_named_twice_is_read_once(tmp_path):
    files(tmp_path, "a.jsonl", "b.jsonl", "x/c.png")
    given = [tmp_path / "b.jsonl", tmp_path, tmp_path / "x" / ".." / "a.jsonl"]
    assert names(inputs_of(given)) == ["b.jsonl", "a.jsonl"]


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    files(tmp_path, "x/1/a.jsonl", "x/2/a.jsonl", "x/2/b.jsonl")
    given = [tmp_path / "x/1/a.jsonl", tmp_path / "x/2/a.jsonl", tmp_path / "x/2/b.jsonl"]
    assert names(inputs_of(given)) == ["1/a.jsonl", "2/a.jsonl", "b.jsonl"]


def test_an_artifact_gives_its_documents_and_not_its_rejects(tmp_path):
    def build(scratch):
        files(scratch, "documents-00001.jsonl.zst", "documents-00000.jsonl.zst", "rejects.jsonl", "clusters.jsonl.zst")
        return {}

    run_step(tmp_path / "made", step="clean", inputs={}, settings={}, build=build)
    assert names(inputs_of([tmp_path / "made"])) == ["documents-00000.jsonl.zst", "documents-00001.jsonl.zst"]


def test_of_a_split_its_user_has_to_say_which_part(tmp_path):
    def build(scratch):
        files(scratch, "train/documents-00000.jsonl.zst", "heldout/documents-00000.jsonl.zst")
        return {}

    run_step(tmp_path / "made", step="split", inputs={}, settings={}, build=build)
    with pytest.raises(InputError, match="Name one of its parts: heldout, train"):
        inputs_of([tmp_path / "made"])
    assert names(inputs_of([tmp_path / "made" / "train"])) == ["documents-00000.jsonl.zst"]


@pytest.mark.parametrize("name", ["absent.jsonl", "absent/*.jsonl", "empty", "a.png"])
def test_where_nothing_can_be_read_the_argument_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    files(tmp_path, "a.png")
    with pytest.raises(InputError, match=r"(absent|empty|a\.png).*: found"):
        inputs_of([tmp_path / name])


def test_large_files_are_cut_and_small_ones_put_together(tmp_path):
    for name, size in (("a.jsonl", 1000), ("b.jsonl", 40), ("c.jsonl.gz", 20), ("d.txt", 30), ("e.jsonl", 90)):
        (tmp_path / name).write_bytes(b"x" * size)
    shards = shards_of(inputs_of([tmp_path]), 300)
    spans = [[(piece.name, piece.begin, piece.end) for piece in shard.pieces] for shard in shards]
    assert spans == [
        [("a.jsonl", 0, 250)],
        [("a.jsonl", 250, 500)],
        [("a.jsonl", 500, 750)],
        [("a.jsonl", 750, 1000), ("b.jsonl", 0, 40)],
        [("c.jsonl.gz", 0, None), ("d.txt", 0, None), ("e.jsonl", 0, 90)],
    ]
    assert pickle.loads(pickle.dumps(shards)) == shards


@pytest.mark.slow
def test_40_000_files_are_found_and_shared_out_in_seconds(tmp_path):
    for number in range(40_000):
        path = tmp_path / str(number % 40) / f"{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("a text")
    started = time.monotonic()
    inputs = inputs_of([tmp_path])
    assert len(shards_of(inputs)) == 1
    assert len(inputs) == 40_000
    assert time.monotonic() - started < 10
