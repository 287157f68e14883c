"""Cleaning keeps what is good, counts what it drops and why, and never leaves an empty artifact."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_tools.errors import InputError
from data_tools.steps.clean import RULES, clean
from data_tools.text.readers import Document, read_documents, write_documents
from data_tools.workers import OthersAtWork, Team, team


def written(path, texts):
    write_documents(path, [Document(f"page{n}", text, "s", "CC0-1.0") for n, text in enumerate(texts)])
    return path


def test_each_drop_is_counted_under_its_rule(tmp_path):
    texts = ["one two", "one two\r\n\r\n\r\n", " \n\n", "word " * 11, "word " * 10]
    manifest = clean([written(tmp_path / "a.jsonl", texts)], tmp_path / "clean", max_words=10)
    counts = manifest.counts
    assert (counts["read"], counts["kept"]) == (5, 2)
    assert (counts["dropped_duplicate"], counts["dropped_empty"], counts["dropped_too_long"]) == (1, 1, 1)
    kept = list(read_documents([tmp_path / "clean"]))
    assert [document.id for document in kept] == ["page0", "page4"]


def test_source_and_licence_stay_with_a_document(tmp_path):
    clean([written(tmp_path / "a.jsonl", ["a\r\nb"])], tmp_path / "clean")
    assert list(read_documents([tmp_path / "clean"])) == [Document("page0", "a\nb", "s", "CC0-1.0")]


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


def many(folder, count=400, files=3):
    """Documents of which every seventh is a duplicate of another, every ninth in another file, and some are bad."""
    folder.mkdir(exist_ok=True)
    for file in range(files):
        lines = []
        for number in range(file, count, files):
            text = f"schÃ¶n {number - number % 7} \r\n\r\n\r\n see https://example.org/{'a' * 90} there"
            lines.append(json.dumps({"id": f"page{number}", "text": text if number % 7 < 2 else f"text {number}"}))
        lines[5] = "no json"
        (folder / f"{file}.jsonl").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_writes_the_same_bytes(tmp_path, workers):
    source = many(tmp_path / "raw")
    alone = clean([source], tmp_path / "alone", shard_bytes=3000)
    with team(workers) as crew:
        together = clean([source], tmp_path / "together", shard_bytes=3000, crew=crew)
    assert (together.outputs, together.counts) == (alone.outputs, alone.counts)
    assert len(list((tmp_path / "together").glob("documents-*"))) > 3
    assert together.counts["dropped_duplicate"] > 10
    assert together.counts["rejected"] == {"no JSON": 3}


def test_of_duplicates_in_different_shards_the_first_is_kept(tmp_path):
    texts = [f"text {n % 20}" for n in range(60)]
    clean([written(tmp_path / "a.jsonl", texts)], tmp_path / "clean", shard_bytes=300)
    assert [document.id for document in read_documents([tmp_path / "clean"])] == [f"page{n}" for n in range(20)]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_can_be_left_out(tmp_path, rule):
    texts = ["a\x00b", "https://example.org/" + "a" * 90 + " link", "a\n\n\n\nb", "word " * 99, "same", "same"]
    source = written(tmp_path / "a.jsonl", texts)
    every = clean([source], tmp_path / "every", max_words=50).counts
    without = clean([source], tmp_path / "without", max_words=50, skip_rules=[rule]).counts
    done = {"too_long": "dropped_too_long", "duplicate": "dropped_duplicate"}.get(rule, f"changed_{rule}")
    assert every[done] >= 1
    assert without.get(done, 0) == 0


def test_an_unknown_rule_is_refused_with_those_that_there_are(tmp_path):
    with pytest.raises(InputError, match="found 'spelling', expected one of unicode, long_urls"):
        clean([written(tmp_path / "a.jsonl", ["a"])], tmp_path / "clean", skip_rules=["spelling"])


def test_the_characters_that_a_rule_removed_are_counted(tmp_path):
    counts = clean([written(tmp_path / "a.jsonl", ["a\n\n\n\nb", "c"])], tmp_path / "clean").counts
    assert (counts["changed_line_breaks"], counts["removed_characters_line_breaks"]) == (1, 2)


def test_ids_that_are_used_twice_are_counted(tmp_path):
    write_documents(tmp_path / "a.jsonl", [Document("same", text, "s", "l") for text in ("a", "b", "b", "c")])
    assert clean([tmp_path / "a.jsonl"], tmp_path / "clean").counts["repeated_ids"] == 2


def test_more_bad_records_than_allowed_are_refused_and_leave_no_output(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n' * 50 + '{"body": "bad"}\n' * 11)
    with pytest.raises(InputError, match=r"11 of 61 that can't be used, .*a\.jsonl:51, key 'text': no such key"):
        clean([tmp_path / "a.jsonl"], tmp_path / "clean")
    assert not (tmp_path / "clean").exists()
    assert clean([tmp_path / "a.jsonl"], tmp_path / "clean", max_bad_share=0.2).counts["kept"] == 1


def program(source, output):
    """A clean of many small shards, as a process."""
    command = (
        "import sys; from pathlib import Path\n"
        "from data_tools.steps.clean import clean; from data_tools.workers import team\n"
        "with team(2) as crew: clean([Path(sys.argv[1])], Path(sys.argv[2]), shard_bytes=2000, crew=crew)"
    )
    return subprocess.Popen([sys.executable, "-c", command, source, output], start_new_session=True)


def children(process):
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in found.read_text().split()] if found.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["parent", "worker"])
@pytest.mark.parametrize("seed", range(3))
def test_a_clean_that_is_killed_at_any_moment_gives_the_same_bytes_when_it_is_run_again(tmp_path, victim, seed):
    source, chance = many(tmp_path / "raw", count=2000), random.Random(seed)
    expected = clean([source], tmp_path / "whole", shard_bytes=2000).outputs
    process = program(source, tmp_path / "killed")
    while process.poll() is None and len(list((tmp_path / "killed.partial").glob("shards/*/done.json"))) < 20 * seed:
        time.sleep(0.01)
    time.sleep(chance.random() / 4)
    for number in [process.pid] if victim == "parent" else children(process)[:1]:
        os.kill(number, signal.SIGKILL)
    ended = process.wait(timeout=120)
    assert victim == "parent" or ended == 0
    assert clean([source], tmp_path / "killed", shard_bytes=2000).outputs == expected


@pytest.mark.slow
def test_a_clean_that_is_killed_while_its_output_is_put_together_goes_on(tmp_path):
    source = many(tmp_path / "raw", count=2000)
    expected = clean([source], tmp_path / "whole", shard_bytes=2000).outputs
    process = program(source, tmp_path / "killed")
    while process.poll() is None and not list((tmp_path / "killed.partial").glob("documents-0000[0-9]*")):
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert clean([source], tmp_path / "killed", shard_bytes=2000).outputs == expected


def test_the_tasks_of_an_array_make_the_same_bytes_together(tmp_path):
    source = many(tmp_path / "raw")

    def made(name, **given):
        return clean([source], tmp_path / name, shard_bytes=3000, **given).outputs

    with pytest.raises(OthersAtWork):
        made("together", crew=Team(task=0, tasks=2))
    last = Team(task=1, tasks=2)
    assert made("together", crew=last) == made("alone")
    last.close()
