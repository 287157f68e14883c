"""The embedded corpus: two manuals on one subject, as clean plain text, from their Debian packages.

    apt-get download sqlite3-doc postgresql-doc-15
    for package in *.deb; do dpkg -x $package unpacked; done
    python examples/make_corpus.py --unpacked unpacked --output examples/corpus

Every HTML page is cut at its headings into documents of at most about WORDS words, `sqlite/lang_select#2`; each begins
with the title of its page, so that it can be read alone. The same packages give the same bytes.
"""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import zstandard

WORDS = 280
"""A document is closed at the next paragraph once it has this many."""
FEWEST_WORDS = 40
"""Shorter pieces are joined to the one before; shorter pages are left out."""

SILENT = {"script", "style", "head", "button", "svg", "select"}
VOID = {"br", "img", "hr", "input", "link", "meta", "col", "area", "base", "wbr"}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
BLOCKS = HEADINGS | {"p", "div", "ul", "ol", "dl", "dt", "dd", "table", "blockquote", "center", "section", "form"}
FURNITURE = re.compile(r"^(nav(header|footer)|toc|nosearch|menu.*|searchmenu|fancy_toc|tocseccnt|imgcontainer|indexterm)$")
NO_CONTENT = re.compile(r"(^|/)(bookindex|index|keyword_index|doclist|sitemap|legalnotice|toc|genindex|search)\.html$")


@dataclass
class Block:
    """A paragraph, or a heading."""

    text: str
    heading: bool = False


@dataclass
class Reader(HTMLParser):
    """HTML to blocks of text; `pre` keeps its lines, list items start with a dash, table cells are joined by bars."""

    blocks: list[Block] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._skipping: list[str] = []
        self._pre = 0
        self._heading = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            if tag == "br":
                self._parts.append("\n")
            return
        if self._skipping:
            if tag == self._skipping[0]:
                self._skipping.append(tag)
            return
        named = dict(attrs)
        classes = f"{named.get('class') or ''} {named.get('id') or ''}".split()
        if tag in SILENT or any(FURNITURE.match(name) for name in classes):
            self._skipping.append(tag)
        elif tag == "pre":
            self._close()
            self._pre += 1
        elif tag in BLOCKS:
            self._close()
            self._heading = tag in HEADINGS
        elif tag in ("li", "tr"):
            self._close()
            self._parts.append("- " if tag == "li" else "")
        elif tag in ("td", "th") and "".join(self._parts).strip():
            self._parts.append(" | ")

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            if tag == self._skipping[0]:
                self._skipping.pop()
            return
        if tag == "pre" and self._pre:
            self._close()
            self._pre -= 1
        elif tag in BLOCKS or tag in ("li", "tr"):
            self._close()

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self._parts.append(data if self._pre else re.sub(r"\s+", " ", data))

    def close(self) -> None:
        super().close()
        self._close()

    def _close(self) -> None:
        text = "".join(self._parts)
        if self._pre:
            text = "\n".join(line.rstrip() for line in text.expandtabs(4).splitlines()).strip("\n")
        else:
            text = re.sub(r" *\n *", "\n", re.sub(r"[ \xa0]+", " ", text)).strip()
        if text.strip(" -|\n"):
            self.blocks.append(Block(text, heading=self._heading))
        self._parts, self._heading = [], False


def blocks_of(html: str) -> list[Block]:
    """The blocks of a page, without its menus, tables of contents and scripts."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader.blocks


def title_of(html: str) -> str:
    match = re.search(r"<title>(.*?)</title>", html, re.DOTALL | re.IGNORECASE)
    return re.sub(r"\s+", " ", unescape(match[1])).strip() if match else ""


def documents_of(title: str, blocks: list[Block]) -> list[str]:
    """Cut a page: at headings once a piece is worth standing alone, and wherever it has become long."""
    pieces: list[list[str]] = [[]]
    for block in blocks:
        words = sum(len(part.split()) for part in pieces[-1])
        if words >= WORDS or (block.heading and words >= FEWEST_WORDS):
            pieces.append([])
        if block.text != title:
            pieces[-1].extend(_in_parts(block.text))
    joined = ["\n\n".join(piece) for piece in pieces]
    merged: list[str] = []
    for piece in joined:
        if merged and len(piece.split()) < FEWEST_WORDS:
            merged[-1] = f"{merged[-1]}\n\n{piece}".strip()
        elif piece:
            merged.append(piece)
    return [f"{title}\n\n{piece}" for piece in merged if len(piece.split()) >= FEWEST_WORDS]


def _in_parts(text: str) -> Iterator[str]:
    """A block as it is; one as long as a document (a long listing) in parts, at line ends."""
    part: list[str] = []
    for line in text.splitlines():
        part.append(line)
        if sum(len(entry.split()) for entry in part) >= WORDS:
            yield "\n".join(part)
            part = []
    if part:
        yield "\n".join(part)


def pages_of(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, HTML) of every page with content, in order of name."""
    for path in sorted(folder.rglob("*.html")):
        if not NO_CONTENT.search(str(path)):
            yield str(path.relative_to(folder).with_suffix("")), path.read_text(encoding="utf-8", errors="replace")


def write_manual(folder: Path, output: Path, *, source: str, licence: str) -> tuple[int, int]:
    """Write one manual's documents; returns (documents, words)."""
    seen: set[str] = set()
    rows = []
    for name, html in pages_of(folder):
        for number, text in enumerate(documents_of(title_of(html), blocks_of(html))):
            if text not in seen:
                seen.add(text)
                rows.append({"id": f"{source}/{name}#{number}", "text": text, "source": source, "licence": licence})
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    output.write_bytes(zstandard.ZstdCompressor(level=19).compress(data))
    return len(rows), sum(len(row["text"].split()) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unpacked", type=Path, required=True, help="folder into which both packages were unpacked")
    parser.add_argument("--output", type=Path, required=True, help="folder to write the two files into")
    arguments = parser.parse_args()
    documentation = arguments.unpacked / "usr/share/doc"
    manuals = {
        "sqlite": (documentation / "sqlite3", "public domain"),
        "postgresql": (documentation / "postgresql-doc-15/html", "PostgreSQL"),
    }
    for source, (folder, licence) in manuals.items():
        if not folder.is_dir():
            parser.error(f"{folder}: no such folder; unpack the Debian package there, as the top of this script says")
        output = arguments.output / f"{source}.jsonl.zst"
        documents, words = write_manual(folder, output, source=source, licence=licence)
        print(f"{output}: {documents:,} documents, {words:,} words, {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
