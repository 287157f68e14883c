"""What the benchmarks of tokenization and scaling rest on: costs of processes, and peers that are not there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.scaling import lines
from benchmarks.support import timed

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
HUNGRY = "print(len(b'x' * 200_000_000)); import time; time.sleep(0.2)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HUNGRY!r}]); sys.exit(3)"


def test_the_memory_of_a_process_that_a_command_started_is_seen():
    spent = timed([sys.executable, "-c", PARENT])
    assert 200e6 < spent.peak < 300e6
    assert spent.seconds > 0.2


def test_a_command_that_fails_keeps_its_status_and_its_last_words():
    spent = timed([sys.executable, "-c", PARENT])
    assert (spent.status, spent.last_line) == (3, "200000000")


def test_generated_documents_differ_and_the_last_can_repeat_the_first_name():
    rows = [json.loads(line) for line in lines(5000, repeats=True)]
    assert len({row["text"] for row in rows}) == 5000
    assert all(40 <= len(row["text"].split()) <= 60 for row in rows)
    assert [row["id"] for row in rows if rows[0]["id"] == row["id"]] == ["page/0"] * 2


@pytest.mark.slow
def test_a_benchmark_without_its_peers_says_so_and_gives_the_other_ratios(tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_bytes(b"".join(lines(3000, repeats=False)))
    command = [sys.executable, str(BENCHMARKS / "tokenization.py"), "--corpus", str(corpus), "--turns", "1"]
    command += ["--cache", str(tmp_path / "cache"), "--folder", str(tmp_path), "--datatrove-python", sys.executable]
    output = subprocess.run(command, env={"PATH": ""}, capture_output=True, text=True, check=True).stdout
    assert "no checkout of Megatron-LM" in output
    assert json.loads(output.splitlines()[-1])["ratios"].keys() >= {"bare"}


@pytest.mark.slow
def test_the_benchmark_of_scaling_ends_with_its_figures(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "scaling.py"), "--quick", "--most", "10000", "--folder", str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = json.loads(output.splitlines()[-1])["figures"]["rows"]
    assert [row["documents"] for row in rows] == ["1,000", "10,000", "1,000,000"]
    assert not list(tmp_path.iterdir())
