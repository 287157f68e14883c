"""Documentation packages of Debian as one file of documents: the real corpus of benchmarks, 14.5M words.

    python benchmarks/debian_corpus.py docs.jsonl                        all packages
    python benchmarks/debian_corpus.py linux.jsonl --packages linux-doc  7,357 texts, 6.8M words
    python benchmarks/debian_corpus.py docs.jsonl.zst                    compressed; .parquet is written as well

Packages are downloaded by apt-get into a cache folder, once, and nothing is installed. The same packages give the same
documents in the same order; the output appears whole or not at all. A document is a file of at least FEWEST_WORDS
words; HTML becomes text by examples/html_text.py. Some packages ship a page twice (as a source and as the source of its
HTML, or as POD and as a manual page), so the corpus holds duplicates, as crawled text does.
"""

import argparse
import gzip
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

from html_text import blocks_of, joined  # noqa: E402

from data_tools.errors import InputError  # noqa: E402
from data_tools.files import flush, locked  # noqa: E402
from data_tools.lines import write_lines  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "megatron-ext" / "debian"
FEWEST_WORDS = 50
"""Shorter texts are lists of links and headings."""
KEYS = ("id", "text", "source", "licence")
ROWS_AT_ONCE = 1000
"""Of a Parquet row group."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A package, the files of it that are documents, and their licence."""

    package: str
    """As Debian 12 names it; another release's name begins alike."""
    files: re.Pattern[str]
    licence: str


COLLECTIONS = {
    "linux-doc": Collection("linux-doc-6.1", re.compile(r".*\.(rst|txt)"), "GPL-2.0"),
    "python-doc": Collection("python3.11-doc", re.compile(r".*\.txt"), "PSF-2.0"),
    "perl-doc": Collection("perl-doc", re.compile(r".*\.(pod|1|3perl)"), "Artistic-1.0-Perl OR GPL-1.0-or-later"),
    "postgresql-doc": Collection("postgresql-doc-15", re.compile(r".*\.html"), "PostgreSQL"),
    "git-doc": Collection("git-doc", re.compile(r".*\.txt"), "GPL-2.0"),
    "django-doc": Collection("python-django-doc", re.compile(r".*/html/.*\.html"), "BSD-3-Clause"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="a .jsonl, .jsonl.zst or .parquet file to write")
    parser.add_argument("--packages", nargs="+", choices=COLLECTIONS, default=list(COLLECTIONS), metavar="NAME",
                        help="some of: " + ", ".join(COLLECTIONS))  # fmt: skip
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for packages (default: %(default)s)")
    options = parser.parse_args()
    try:
        documents, words = build(options.output, options.packages, options.cache)
    except InputError as error:
        sys.exit(str(error))
    print(f"{options.output}: {documents:,} documents, {words:,} words")


def build(output: Path, names: Sequence[str], cache: Path) -> tuple[int, int]:
    """Write the documents of these collections, in the order of COLLECTIONS; returns their number and their words."""
    if not output.name.endswith((".jsonl", ".jsonl.zst", ".parquet")):
        raise InputError(
            where=str(output), found="an unknown ending", expected="a name that ends in .jsonl, .jsonl.zst or .parquet",
            fix="Choose one of these.",
        )  # fmt: skip
    words = 0

    def rows() -> Iterator[dict[str, str]]:
        nonlocal words
        for name in (name for name in COLLECTIONS if name in names):
            with locked(cache / name):
                folder = unpacked(COLLECTIONS[name].package, cache)
            for row in documents_of(name, COLLECTIONS[name], folder):
                words += len(row["text"].split())
                yield row

    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name("partial." + output.name)  # the ending decides on the compression
    try:
        count = (write_parquet if output.suffix == ".parquet" else write_lines)(partial, rows())
        flush(partial)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return count, words


def unpacked(package: str, cache: Path) -> Path:
    """The folder with the package's files; downloaded and unpacked where it isn't yet."""
    folder = cache / package
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    if not list(cache.glob(f"{package}_*.deb")):
        _run(["apt-get", "download", "--quiet", package], cache)
    newest = max(cache.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)
    partial = cache / f"{package}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    _run(["dpkg-deb", "--extract", newest.name, partial.name], cache)
    return partial.rename(folder)


def documents_of(name: str, collection: Collection, folder: Path) -> Iterator[dict[str, str]]:
    """The collection's documents, in the order of their paths."""
    for path in sorted(folder.rglob("*")):
        page = path.relative_to(folder).as_posix().removesuffix(".gz")
        if path.is_symlink() or not path.is_file() or not collection.files.fullmatch(page):
            continue
        text = text_of(page, path)
        if len(text.split()) >= FEWEST_WORDS:
            ours = re.sub(r"^usr/share/(doc/[^/]*/)?", "", page)
            yield {"id": f"{name}/{ours}", "text": text, "source": name, "licence": collection.licence}


def text_of(page: str, path: Path) -> str:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode(errors="replace")
    return joined(blocks_of(text)) if page.endswith(".html") else text


def write_parquet(path: Path, rows: Iterator[dict[str, str]]) -> int:
    """One row group after another; returns the number of rows."""
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([(key, pyarrow.string()) for key in KEYS])
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        batch: list[dict[str, str]] = []
        for row in rows:
            batch.append(row)
            if len(batch) == ROWS_AT_ONCE:
                writer.write_table(pyarrow.Table.from_pylist(batch, schema))
                count += len(batch)
                batch = []
        writer.write_table(pyarrow.Table.from_pylist(batch, schema))
    return count + len(batch)


def _run(command: list[str], folder: Path) -> None:
    """Run a tool of Debian in that folder."""
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise InputError(
            where=command[0], found="no such program", expected="the package tools of Debian or Ubuntu",
            fix="Run this on such a system, or give the benchmark a file of your own.",
        ) from None  # fmt: skip
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["nothing was said"]
        raise InputError(
            where=" ".join(command), found=lines[-1], expected="that it succeeds",
            fix="Refresh the package lists (apt-get update), or put the .deb file into " + str(folder) + ".",
        ) from None  # fmt: skip


if __name__ == "__main__":
    main()
