"""The embedded corpus is what its README says, and the script that makes it turns HTML into clean text."""

import json
import re
import sys
from pathlib import Path

import pytest
import zstandard

EXAMPLES = Path(__file__).parents[2] / "examples"
CORPUS = EXAMPLES / "corpus"
LICENCES = {"sqlite": "public domain", "postgresql": "PostgreSQL"}

sys.path.insert(0, str(EXAMPLES))

from html_text import Block, blocks_of, in_parts, joined, title_of  # noqa: E402
from make_corpus import FEWEST_WORDS, WORDS, documents_of, main  # noqa: E402

PAGE = """<!DOCTYPE html><html><head><title>The&nbsp;LIMIT
clause</title><style>p {color: red}</style></head><body>
<div class="navheader"><table><tr><td>Prev</td><td>Up</td><td>Next</td></tr></table></div>
<div class=nosearch><div class="menu mainmenu"><ul><li>Home<li>About</ul></div></div>
<h1>The LIMIT clause</h1>
<p>Rows where <code>a &lt; b</code>
   &amp; more.<button id='x1'>hide</button></p>
<h2>1. Use</h2>
<pre>SELECT *
  FROM t
 LIMIT 3;</pre>
<ul><li><p>first</p></li><li>second <b>bold</b><li>third</ul>
<table><tr><th>Name</th><th>Meaning</th></tr><tr><td>n<td>most <i>rows</i></tr></table>
<table><tr><td><p>abs ( x ) &rarr; number</p><p>Absolute value</p></td></tr></table>
<dl><dt>ALL</dt><dd>No limit.</dd></dl>
<div class="note"><h3>Note</h3><p>Order the rows.</p></div>
<script>if (a < b) { document.write("<p>no</p>") }</script>
<p align="center"><small><i>This page last modified on 2022-10-26 UTC</i></small></p>
</body></html>"""


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    lines: list[bytes] = []
    for source in LICENCES:
        lines += zstandard.ZstdDecompressor().decompress((CORPUS / f"{source}.jsonl.zst").read_bytes()).splitlines()
    return [json.loads(line) for line in lines]


def words(text: str) -> int:
    return len(text.split())


def test_the_corpus_is_large_enough_for_the_demo_and_small_enough_for_git(rows):
    assert len(rows) >= 1_500
    assert sum(words(row["text"]) for row in rows) >= 1_500_000
    assert sum(path.stat().st_size for path in CORPUS.iterdir()) <= 6_000_000


def test_every_line_has_its_four_keys_and_the_licence_of_its_source(rows):
    for row in rows:
        assert list(row) == ["id", "text", "source", "licence"]
        assert re.fullmatch(rf"{row['source']}/[\w./-]+#\d+", row["id"])
        assert row["licence"] == LICENCES[row["source"]]
        assert (CORPUS / f"LICENSE-{row['source']}.txt").is_file()


def test_ids_and_texts_are_there_once(rows):
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({row["text"].partition("\n\n")[2] for row in rows}) == len(rows)


def test_documents_are_neither_stubs_nor_chapters(rows):
    lengths = sorted(words(row["text"]) for row in rows)
    assert lengths[0] >= FEWEST_WORDS
    assert lengths[-1] <= 320
    assert lengths[len(lengths) * 99 // 100] <= 260


def test_a_document_begins_with_the_title_of_its_page(rows):
    for row in rows:
        head, _, body = row["text"].partition("\n\n")
        assert body
        assert 1 <= len(head.splitlines()) <= 2


@pytest.mark.parametrize(
    "left_over",
    [
        r"</?(div|span|pre|script|dl|dt|dd|code|em|blockquote)\b[^>]*>",  # fts5 shows <b> to its readers, cli <td>
        r"<\w+ (class|style|onclick|accesskey)=",
        r"&(nbsp|amp|lt|gt|quot|#\d+);.*&(nbsp|amp|lt|gt|quot|#\d+);.*</",
        r"This page last modified on",
        r"See also lists of\s+Objects",
        r"Choose any three|Search Documentation|Table Of Contents",
        r"(?m)^(hide|show|§)$",  # Prev and Next are also opcodes of SQLite
        r"Prev\b.{0,20}\bUp\b.{0,80}\bNext\b",
        "[\\x00-\\x08\\x0b-\\x1f\\xa0\\u200b\\ufeff\\ufffd]|â€|Ã[\\x80-\\xbf]",
        r"[ \t]\n|\n{3}|^\s|\s$",
    ],
)
def test_no_tags_menus_or_broken_characters_are_left(rows, left_over):
    assert [row["id"] for row in rows if re.search(left_over, row["text"])] == []


def test_the_readme_states_the_counts_of_the_files(rows):
    readme = (CORPUS / "README.md").read_text(encoding="utf-8")
    for source in LICENCES:
        own = [row for row in rows if row["source"] == source]
        pages = {row["id"].partition("#")[0] for row in own}
        counts = (len(pages), len(own), sum(words(row["text"]) for row in own))
        assert " | ".join(f"{count:,}" for count in counts) in readme


def test_html_becomes_headings_paragraphs_listings_items_and_rows():
    assert title_of(PAGE) == "The LIMIT clause"
    assert blocks_of(PAGE)[:-1] == [
        Block("The LIMIT clause", "heading"),
        Block("Rows where a < b & more."),
        Block("1. Use", "heading"),
        Block("SELECT *\n  FROM t\n LIMIT 3;", "pre"),
        Block("- first", "item"),
        Block("- second bold", "item"),
        Block("- third", "item"),
        Block("Name | Meaning", "row"),
        Block("n | most rows", "row"),
        Block("abs ( x ) → number\nAbsolute value"),
        Block("ALL", "term"),
        Block("No limit."),
        Block("Note:", "term"),
        Block("Order the rows."),
    ]


def test_items_rows_and_terms_keep_to_adjacent_lines():
    text = joined([Block("a"), Block("- b", "item"), Block("- c", "item"), Block("Note:", "term"), Block("d")])
    assert text == "a\n\n- b\n- c\n\nNote:\nd"


def test_a_page_is_cut_at_headings_and_each_document_names_page_and_section():
    body = Block("word " * 59 + "end.")
    blocks = [Block("T", "heading"), body, Block("A", "heading"), body, Block("B", "heading"), Block("few words.")]
    first, second = documents_of("T", [*blocks, Block("This page last modified on Monday")])
    assert first == f"T\n\n{body.text}"
    assert second == f"T\nA\n\n{body.text}\n\nB\n\nfew words."


def test_a_long_section_is_cut_at_paragraphs_and_repeats_its_heading():
    blocks = [Block("A", "heading")] + [Block(f"{n} " * 100) for n in range(5)]
    documents = documents_of("T", blocks)
    assert len(documents) == 3
    assert all(text.startswith("T\nA\n\n") for text in documents)
    assert sum(words(text) for text in documents) == 500 + 2 * len(documents)


def test_a_page_of_a_few_words_gives_no_document():
    assert documents_of("T", [Block("Moved elsewhere.")]) == []


def test_a_long_paragraph_is_cut_between_sentences_and_a_listing_between_lines():
    prose = Block("One two three. Four five six. Seven eight nine.")
    assert [part.text for part in in_parts(prose, 6)] == ["One two three. Four five six.", "Seven eight nine."]
    listing = Block("a b\n  c d\ne f", "pre")
    assert [part.text for part in in_parts(listing, 4)] == ["a b\n  c d", "e f"]


def test_the_same_pages_give_the_same_bytes(tmp_path, monkeypatch):
    for source, pages in (("sqlite", "usr/share/doc/sqlite3"), ("postgresql", "usr/share/doc/postgresql-doc-15/html")):
        folder = tmp_path / source / pages
        folder.mkdir(parents=True)
        for name in ("b", "a", "copy"):
            paragraph = f"<p>{'word ' * WORDS} {name if name != 'copy' else 'a'}.</p>"
            (folder / f"{name}.html").write_text(f"<title>Page</title><h1>Use</h1>{paragraph}", encoding="utf-8")
    made = []
    for output in (tmp_path / "one", tmp_path / "two"):
        manuals = ["--sqlite", str(tmp_path / "sqlite"), "--postgresql", str(tmp_path / "postgresql")]
        monkeypatch.setattr(sys, "argv", ["make_corpus.py", *manuals, "--output", str(output)])
        main()
        made.append((output / "sqlite.jsonl.zst").read_bytes())
    assert made[0] == made[1]
    ids = [json.loads(line)["id"] for line in zstandard.ZstdDecompressor().decompress(made[0]).splitlines()]
    assert ids == ["sqlite/a#0", "sqlite/b#0"]


def test_a_folder_that_is_no_package_is_named(tmp_path, monkeypatch, capsys):
    folders = ["--sqlite", str(tmp_path), "--postgresql", str(tmp_path), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["make_corpus.py", *folders])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert str(tmp_path / "usr/share/doc/sqlite3") in message
    assert "dpkg -x" in message
