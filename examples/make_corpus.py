"""The embedded corpus: two manuals on one subject, as clean plain text, from their Debian packages.

    apt-get download sqlite3-doc postgresql-doc-15
    dpkg -x sqlite3-doc_*.deb sqlite3-doc && dpkg -x postgresql-doc-15_*.deb postgresql-doc-15
    python examples/make_corpus.py --sqlite sqlite3-doc --postgresql postgresql-doc-15 --output examples/corpus

Needs `zstandard`. Every page is cut at its headings, then at its paragraphs, into documents of at most about WORDS
words. A document begins with the title of its page and the heading of its section, so that it can be read alone, and
is called `sqlite/lang_select#2`: what stands before `#` is its page. The same packages and zstd give the same bytes.
HTML becomes text in html_text.py.
"""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import zstandard
from html_text import Block, blocks_of, in_parts, joined, title_of

WORDS = 230
"""Most words of a document's body, where paragraphs allow it; title and heading come on top."""
FEWEST_WORDS = 40
"""A shorter body is joined to its neighbour; a shorter page is left out."""
LEVEL = 19
"""Of zstd."""


@dataclass(frozen=True, slots=True)
class Manual:
    """Where a package keeps its pages, and which of them hold lists of links, or the text of other pages."""

    source: str
    licence: str
    pages: str
    left_out: re.Pattern[str]


MANUALS = (
    # capi3ref repeats c3ref/*, session repeats session/*, releaselog/* repeats changes, and requirements quotes
    # sentences of all other pages.
    Manual(
        "sqlite",
        "public domain",
        "usr/share/doc/sqlite3",
        re.compile(
            r"index|keyword_index|doclist|docs|sitemap|toc|search|lang|doc_\w+_crossref|requirements|capi3ref"
            r"|chronology|releaselog/.*|session|session/session|(c3ref|session)/(funclist|objlist|constlist|intro)"
            r"|download|hirely|syntax|syntaxdiagrams"
        ),
    ),
    Manual(
        "postgresql",
        "PostgreSQL",
        "usr/share/doc/postgresql-doc-15/html",
        re.compile(r"index|bookindex|legalnotice"),
    ),
)
FURNITURE = re.compile(
    r"This page last modified on .*|See also lists of\s+Objects.*|([a-z]+(-[a-z]+)+|expr):",
    re.DOTALL,
)
"""Paragraphs that no class marks as furniture: page footers, and names of diagrams that are not in the text."""


@dataclass(slots=True)
class Piece:
    """A part of a page that becomes a document: blocks under the heading of their section."""

    heading: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def words(self) -> int:
        return sum(block.words for block in self.blocks)

    def extend(self, other: "Piece") -> None:
        if other.heading and other.heading != self.heading:
            self.blocks.append(Block(other.heading, "heading"))
        self.blocks.extend(other.blocks)


def sections_of(title: str, blocks: list[Block]) -> list[Piece]:
    """The page cut at its headings; a heading that repeats the title starts nothing."""
    sections = [Piece("")]
    for block in blocks:
        if block.kind == "heading":
            if block.text != title:
                sections.append(Piece(block.text))
        elif not FURNITURE.fullmatch(block.text) and block.text != title:
            sections[-1].blocks.append(block)
    return [section for section in sections if section.blocks]


def pieces_of(section: Piece) -> Iterator[Piece]:
    """The section cut between paragraphs where it would become too long; a term stays with what it introduces."""
    piece = Piece(section.heading)
    for block in (part for whole in section.blocks for part in in_parts(whole, WORDS)):
        if piece.words >= FEWEST_WORDS and piece.words + block.words > WORDS:
            held: list[Block] = []
            while len(piece.blocks) > 1 and piece.blocks[-1].kind == "term":
                held.insert(0, piece.blocks.pop())
            yield piece
            piece = Piece(section.heading, held)
        piece.blocks.append(block)
    yield piece


def documents_of(title: str, blocks: list[Block]) -> list[str]:
    """The texts of a page's documents. None if the whole page is shorter than one."""
    merged: list[Piece] = []
    for piece in (piece for section in sections_of(title, blocks) for piece in pieces_of(section)):
        short = merged and min(merged[-1].words, piece.words) < FEWEST_WORDS
        if short and merged[-1].words + piece.words <= WORDS + FEWEST_WORDS:
            merged[-1].extend(piece)
        else:
            merged.append(piece)
    kept: list[Piece] = []
    for piece in merged:  # what is still short stands between long ones
        if kept and min(kept[-1].words, piece.words) < FEWEST_WORDS:
            kept[-1].extend(piece)
        else:
            kept.append(piece)
    heads = ["\n".join(line for line in (title, piece.heading) if line) for piece in kept]
    return [
        f"{head}\n\n{joined(piece.blocks)}"
        for head, piece in zip(heads, kept, strict=True)
        if piece.words >= FEWEST_WORDS
    ]


def pages_of(folder: Path, left_out: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """(name, HTML) of every page with a text of its own, in order of name."""
    names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.html"))
    for name in names:
        if not left_out.fullmatch(name):
            yield name, (folder / f"{name}.html").read_text(encoding="utf-8", errors="replace")


def rows_of(manual: Manual, package: Path) -> Iterator[dict[str, str]]:
    """The documents of a manual. A text that was there before, under whatever title, is left out."""
    seen: set[str] = set()
    for name, html in pages_of(package / manual.pages, manual.left_out):
        texts = []
        for text in documents_of(title_of(html) or name, blocks_of(html)):
            body = text.partition("\n\n")[2]
            if body not in seen:
                seen.add(body)
                texts.append(text)
        for number, text in enumerate(texts):
            row = {"id": f"{manual.source}/{name}#{number}", "text": text}
            yield row | {"source": manual.source, "licence": manual.licence}


def write_manual(manual: Manual, package: Path, output: Path) -> str:
    """Write one manual's documents to `output`; returns a line of counts."""
    rows = list(rows_of(manual, package))
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    partial = output.with_name(output.name + ".partial")
    partial.write_bytes(zstandard.ZstdCompressor(level=LEVEL).compress(data))
    partial.replace(output)
    pages = len({row["id"].partition("#")[0] for row in rows})
    words = sum(len(row["text"].split()) for row in rows)
    return f"{output}: {pages:,} pages, {len(rows):,} documents, {words:,} words, {output.stat().st_size:,} bytes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for manual in MANUALS:
        parser.add_argument(f"--{manual.source}", type=Path, required=True, help="folder of the unpacked package")
    parser.add_argument("--output", type=Path, required=True, help="folder to write the two files into")
    arguments = parser.parse_args()
    for manual in MANUALS:
        pages = getattr(arguments, manual.source) / manual.pages
        if not pages.is_dir():
            parser.error(
                f"--{manual.source}: found no folder {pages}, expected the package's pages there.\n"
                f"  Unpack the Debian package with `dpkg -x`, as the top of this script shows."
            )
    arguments.output.mkdir(parents=True, exist_ok=True)
    for manual in MANUALS:
        package = getattr(arguments, manual.source)
        print(write_manual(manual, package, arguments.output / f"{manual.source}.jsonl.zst"))


if __name__ == "__main__":
    main()
