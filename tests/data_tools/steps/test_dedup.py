"""Of near-duplicates the first is kept, the rest is reported, and nothing else is lost."""

import json
import random
import subprocess
import sys
import time

import pytest

from data_tools.errors import InputError
from data_tools.lines import read_lines
from data_tools.steps.dedup import CLUSTERS, dedup
from data_tools.text.readers import Document, Fields, read_documents, write_documents
from data_tools.workers import OthersAtWork, Team, team

pytest.importorskip("rensa")


def corpus(path, originals=60, copies=40, seed=0):
    """Texts of 100 words, and copies of some with one or two words changed; ids say what is a copy of what."""
    chance = random.Random(seed)
    words = [f"word{a}{b}" for a in "abcdefghij" for b in "klmnopqrst"]
    texts = [chance.choices(words, k=100) for _ in range(originals)]
    documents = [Document(f"original{n}", " ".join(words), "s", "l") for n, words in enumerate(texts)]
    for number in range(copies):
        words = list(texts[number % 20])
        words[chance.randrange(100)] = "changed"
        documents.append(Document(f"original{number % 20}-copy{number}", " ".join(words).upper(), "s", "l"))
    write_documents(path, documents)
    return path


def ids(folder):
    return [document.id for document in read_documents([folder])]


def test_the_first_of_each_cluster_is_kept_and_the_others_reported(tmp_path):
    counts = dedup([corpus(tmp_path / "a.jsonl")], tmp_path / "dedup").counts
    assert ids(tmp_path / "dedup") == [f"original{n}" for n in range(60)]
    assert counts == {"read": 100, "kept": 60, "dropped_duplicate": 40, "clusters": 20, "largest_cluster": 3}
    report = list(read_lines(tmp_path / "dedup" / CLUSTERS))
    assert [line["kept"] for line in report] == [f"original{n}" for n in range(20)]
    assert all(name.startswith(line["kept"] + "-copy") for line in report for name in line["dropped"])
    assert all(0.8 <= value <= 1 for line in report for value in line["jaccard"])


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_writes_the_same_bytes(tmp_path, workers, exact):
    source = corpus(tmp_path / "a.jsonl")
    alone = dedup([source], tmp_path / "alone", shard_bytes=9000, exact=exact)
    with team(workers) as crew:
        together = dedup([source], tmp_path / "together", shard_bytes=9000, exact=exact, crew=crew)
    assert (together.outputs, together.counts) == (alone.outputs, alone.counts)
    assert len(list((tmp_path / "together").glob("documents-*"))) > 3


def test_exact_drops_only_what_has_the_same_words(tmp_path):
    texts = ["A b, c.", "a b c", "a b c d", "A B (C) 9"]
    write_documents(tmp_path / "a.jsonl", [Document(str(n), text, "s", "l") for n, text in enumerate(texts)])
    assert dedup([tmp_path / "a.jsonl"], tmp_path / "dedup", exact=True).counts["dropped_duplicate"] == 2
    assert ids(tmp_path / "dedup") == ["0", "2"]


def test_a_higher_threshold_keeps_what_is_less_similar(tmp_path):
    source = corpus(tmp_path / "a.jsonl")
    kept = [dedup([source], tmp_path / str(t), threshold=t).counts["kept"] for t in (0.5, 0.8, 0.95, 1.0)]
    assert kept[0] == 60
    assert kept == sorted(kept)
    assert kept[-1] > 90


def test_documents_come_out_as_they_went_in_and_rejects_are_listed(tmp_path):
    rows = [{"body": f"Text {'abcdef'[n]}\r\n", "key": n} for n in range(6)]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines[:3], "no json", *lines[3:]]))
    manifest = dedup([tmp_path / "a.jsonl"], tmp_path / "dedup", fields=Fields(text="body", id="key"))
    expected = [Document(str(row["key"]), row["body"], "a.jsonl", "") for row in rows]
    assert list(read_documents([tmp_path / "dedup"])) == expected
    assert manifest.counts["rejected"] == {"no JSON": 1}


@pytest.mark.parametrize("threshold", [0, -1, 1.1])
def test_a_threshold_that_is_no_similarity_is_refused(tmp_path, threshold):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        dedup([corpus(tmp_path / "a.jsonl")], tmp_path / "dedup", threshold=threshold)


def test_no_document_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(InputError, match="found no document"):
        dedup([tmp_path / "a.jsonl"], tmp_path / "dedup")


def test_the_tasks_of_an_array_make_the_same_bytes_together(tmp_path):
    source = corpus(tmp_path / "a.jsonl")

    def made(name, **given):
        return dedup([source], tmp_path / name, shard_bytes=9000, **given).outputs

    with pytest.raises(OthersAtWork):
        made("together", crew=Team(task=0, tasks=2))
    last = Team(task=1, tasks=2)
    assert made("together", crew=last) == made("alone")
    last.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_dedup_that_is_killed_at_any_moment_gives_the_same_bytes_when_it_is_run_again(tmp_path, seed):
    source = corpus(tmp_path / "a.jsonl", originals=2000, copies=500)
    expected = dedup([source], tmp_path / "whole", shard_bytes=90_000).outputs
    command = (
        "import sys; from pathlib import Path\n"
        "from data_tools.steps.dedup import dedup; from data_tools.workers import team\n"
        "with team(2) as crew: dedup([Path(sys.argv[1])], Path(sys.argv[2]), shard_bytes=90_000, crew=crew)"
    )
    process = subprocess.Popen([sys.executable, "-c", command, source, tmp_path / "killed"], start_new_session=True)
    finished = 8 * seed  # shards of any stage
    while process.poll() is None and len(list((tmp_path / "killed.partial").rglob("done.json"))) < finished:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert dedup([source], tmp_path / "killed", shard_bytes=90_000).outputs == expected
