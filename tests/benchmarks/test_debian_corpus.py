"""The real corpus of the benchmarks: what becomes of the files of a package, without downloading one."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

from benchmarks.debian_corpus import FEWEST_WORDS, build
from data_tools.errors import InputError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "debian_corpus.py"
LONG = "word " * FEWEST_WORDS
PAGE = f"<html><head><title>SELECT</title></head><body><h1>SELECT</h1><p>{LONG}&amp; more</p></body></html>"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Two packages, unpacked as if they had been downloaded."""
    git = tmp_path / "git-doc" / "usr/share/doc/git-doc"
    git.mkdir(parents=True)
    (git / "b.txt.gz").write_bytes(gzip.compress(f"B {LONG}".encode()))
    (git / "a.txt").write_text(f"A {LONG}")
    (git / "short.txt").write_text("too short")
    (git / "a.html").write_text(PAGE)
    (git / "link.txt").symlink_to("a.txt")
    postgresql = tmp_path / "postgresql-doc-15" / "usr/share/doc/postgresql-doc-15/html"
    postgresql.mkdir(parents=True)
    (postgresql / "sql-select.html").write_text(PAGE)
    return tmp_path


def rows_of(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_documents_are_named_after_their_files_and_come_in_order(cache, tmp_path):
    assert build(tmp_path / "out.jsonl", ["git-doc", "postgresql-doc"], cache) == (3, 3 * FEWEST_WORDS + 5)
    rows = rows_of(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == ["postgresql-doc/html/sql-select.html", "git-doc/a.txt", "git-doc/b.txt"]
    assert {row["source"]: row["licence"] for row in rows} == {"postgresql-doc": "PostgreSQL", "git-doc": "GPL-2.0"}


def test_pages_of_html_become_text_and_compressed_ones_are_read(cache, tmp_path):
    build(tmp_path / "out.jsonl", ["git-doc", "postgresql-doc"], cache)
    page, _, compressed = (row["text"] for row in rows_of(tmp_path / "out.jsonl"))
    assert page.startswith("SELECT\n\nword")
    assert page.endswith("& more")
    assert "<" not in page
    assert compressed == f"B {LONG}"


def test_the_same_packages_give_the_same_bytes(cache, tmp_path):
    for name in ("one.jsonl.zst", "two.jsonl.zst"):
        build(tmp_path / name, ["git-doc"], cache)
    assert (tmp_path / "one.jsonl.zst").read_bytes() == (tmp_path / "two.jsonl.zst").read_bytes()


def test_parquet_holds_the_same_documents(cache, tmp_path):
    for name in ("out.jsonl", "out.parquet"):
        build(tmp_path / name, ["git-doc"], cache)
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist() == rows_of(tmp_path / "out.jsonl")


def test_an_output_that_can_not_be_finished_is_not_there(cache, tmp_path):
    (cache / "git-doc/usr/share/doc/git-doc/z.txt.gz").write_bytes(b"no gzip")
    with pytest.raises(gzip.BadGzipFile):
        build(tmp_path / "out.jsonl", ["git-doc"], cache)
    assert not list(tmp_path.glob("*out.jsonl"))


def test_an_unknown_ending_is_refused_before_anything_is_fetched(tmp_path):
    with pytest.raises(InputError, match="unknown ending"):
        build(tmp_path / "out.csv", ["git-doc"], tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_machine_without_package_tools_is_told_so(tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path / "out.jsonl"), "--cache", str(tmp_path / "cache")]
    result = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert result.returncode != 0
    assert "no such program" in result.stderr
    assert "Traceback" not in result.stderr
