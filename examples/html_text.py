"""HTML manual pages to blocks of plain text, with nothing but the standard library.

`blocks_of` reads a page as a browser would show it, less its furniture (menus, tables of contents, scripts, diagrams),
and promises: no tags, entities resolved, `pre` with its own lines, list items that start with `- `, table rows with
cells parted by ` | `, and headings as blocks of their own. Tags that were never closed (`li`, `p`, `td`) are
understood.
"""

import re
from dataclasses import dataclass, replace
from html import unescape
from html.parser import HTMLParser
from typing import Literal

Kind = Literal["heading", "paragraph", "term", "item", "row", "pre"]

SILENT = frozenset(("script", "style", "head", "button", "svg", "select", "form"))
VOID = frozenset(("area", "base", "br", "col", "hr", "img", "input", "link", "meta", "wbr"))
HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
BLOCKS = HEADINGS | {"p", "div", "ul", "ol", "dl", "dt", "dd", "li", "blockquote", "center", "caption", "body"}
FURNITURE = re.compile(
    r"navheader|navfooter|toc|list-of-\w+|nosearch|menu|searchmenu|fancy_toc|imgcontainer|indexterm|rightsidebar"
)
LABELS = frozenset(("Note", "Tip", "Caution", "Warning", "Important"))
"""Headings of boxes inside a section: they introduce the next paragraph and start no section."""
LINK_SIGN = "§"
"""The whole text of a link from a release note to its change."""
CELL_WORDS = 120
"""A table with a longer cell is a layout, not data: its cells become paragraphs."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading, term of a definition list, list item, table row or listing."""

    text: str
    kind: Kind = "paragraph"

    @property
    def words(self) -> int:
        return len(self.text.split())


class Reader(HTMLParser):
    """Collects the blocks of one page; `close` hands over what is still open."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self._parts: list[str] = []
        self._kind: Kind = "paragraph"
        self._skipping: list[str] = []
        self._bullet = False
        self._pre = 0
        self._rows: list[list[list[Block]]] = []  # one row for each open table: its cells, each a list of blocks

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skipping:
            if tag == self._skipping[0]:
                self._skipping.append(tag)
            return
        if tag in VOID:
            if tag == "br":
                self._parts.append("\n")
            return
        names = " ".join(value or "" for key, value in attrs if key in ("class", "id")).split()
        if tag in SILENT or any(FURNITURE.fullmatch(name) for name in names):
            self._skipping.append(tag)
        elif tag in ("table", "tr", "td", "th"):
            self._open_table_part(tag)
        elif tag == "pre":
            self._flush()
            self._pre += 1
        elif tag in BLOCKS:
            self._flush()
            self._bullet = tag == "li" or (self._bullet and tag == "p")
            self._kind = "heading" if tag in HEADINGS else "term" if tag == "dt" else "paragraph"

    def handle_endtag(self, tag: str) -> None:
        if self._skipping:
            if tag == self._skipping[0]:
                self._skipping.pop()
        elif tag == "pre":
            self._flush()
            self._pre = max(0, self._pre - 1)
        elif tag in ("tr", "table") and self._rows:
            self._end_row()
            if tag == "table":
                self._rows.pop()
        elif tag in BLOCKS:
            self._flush()

    def handle_data(self, data: str) -> None:
        if not self._skipping and data != LINK_SIGN:
            data = data.replace("\xa0", " ").replace("\u200b", "")
            self._parts.append(data if self._pre else re.sub(r"\s+", " ", data))

    def close(self) -> None:
        super().close()
        while self._rows:
            self._end_row()
            self._rows.pop()
        self._flush()

    def _open_table_part(self, tag: str) -> None:
        if tag == "table":
            self._flush()
            self._rows.append([])
        elif tag == "tr" and self._rows:
            self._end_row()
        elif self._rows:
            self._flush()
            self._rows[-1].append([])

    def _end_row(self) -> None:
        self._flush()
        cells, self._rows[-1] = self._rows[-1], []
        is_data = all(
            block.kind not in ("heading", "row") and "\n" not in block.text and sum(b.words for b in cell) <= CELL_WORDS
            for cell in cells
            for block in cell
        )
        row = [" ".join(block.text for block in cell) for cell in cells]
        if is_data and len(cells) == 1:
            self._sink(outside=True).extend([Block("\n".join(block.text for block in cells[0]))] if cells[0] else [])
        elif is_data and any(row):
            self._sink(outside=True).append(Block(" | ".join(row).strip(), "row"))
        elif not is_data:
            self._sink(outside=True).extend(block for cell in cells for block in cell)

    def _sink(self, *, outside: bool = False) -> list[Block]:
        """Where blocks go: the open cell of the innermost table (or of the one around it), or the page."""
        for row in reversed(self._rows[:-1] if outside else self._rows):
            if row:
                return row[-1]
        return self.blocks

    def _flush(self) -> None:
        text, kind = "".join(self._parts), self._kind
        self._parts, self._kind = [], "paragraph"
        if self._pre:
            text = "\n".join(line.rstrip() for line in text.expandtabs(8).splitlines()).strip("\n")
            text, kind = re.sub(r"\n{3,}", "\n\n", text), "pre"
        else:
            text = re.sub(r" *\n *", "\n", re.sub(r" +", " ", text)).strip()
            text = text.replace("\n", " ") if kind == "heading" else re.sub(r"\n{2,}", "\n", text)
        if not text.strip(" \n-*|"):
            return
        if kind == "heading" and text in LABELS:
            text, kind = f"{text}:", "term"
        elif self._bullet and kind == "paragraph":
            text, kind = f"- {text}", "item"
        self._bullet = False
        self._sink().append(Block(text, kind))


def blocks_of(html: str) -> list[Block]:
    """The blocks of a page, in reading order."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader.blocks


def title_of(html: str) -> str:
    """The text of the page's `title`; empty if it has none."""
    match = re.search(r"<title>(.*?)</title>", html, re.DOTALL | re.IGNORECASE)
    return " ".join(unescape(match[1]).replace("\u200b", "").split()) if match else ""


def in_parts(block: Block, words: int) -> list[Block]:
    """The block, or a long one cut at line ends, and paragraphs at the ends of sentences."""
    if block.words <= words:
        return [block]
    joint = "\n" if "\n" in block.text else " "
    pieces = block.text.split("\n") if joint == "\n" else re.split(r"(?<=[.;:!?]) ", block.text)
    parts: list[list[str]] = [[]]
    count = 0
    for piece in pieces:
        length = len(piece.split())
        if parts[-1] and count + length > words:
            parts.append([])
            count = 0
        parts[-1].append(piece)
        count += length
    return [replace(block, text=joint.join(part).strip("\n")) for part in parts if any(line.strip() for line in part)]


def joined(blocks: list[Block]) -> str:
    """Blocks as text: items or rows of one list or table on adjacent lines, all else parted by an empty line."""
    text = ""
    for before, block in zip([None, *blocks], blocks, strict=False):
        if before is not None:
            close = before.kind == "term" or (block.kind == before.kind and block.kind in ("item", "row"))
            text += "\n" if close else "\n\n"
        text += block.text
    return text
