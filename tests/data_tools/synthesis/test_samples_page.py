"""The page of samples: everything on it, nothing from outside it, and no text that becomes markup."""

import re

from hypothesis import given
from hypothesis import strategies as st

from data_tools.synthesis.samples_page import Sample, parts, write_page

SAMPLES = [
    Sample(
        "manual/rows#0", "A row has a value for every column of its table, and <b>no more</b>.",
        [("manual/rows#0.rephrase-0", "As is known, a row has a value for every column of the table it is in.")],
        [("repetition", "again & again")],
    ),
    Sample("manual/empty#1", "", []),
]  # fmt: skip


def page_of(folder, **changes):
    given_ = {
        "title": "rephrase of corpus", "facts": {"model": "tiny <1B>"},
        "counts": {"seeds": 2, "kept": 3, "dropped_too_short": 1, "dropped_copy": 0}, "samples": SAMPLES,
    }  # fmt: skip
    write_page(folder / "samples.html", **(given_ | changes))
    return (folder / "samples.html").read_text()


def test_the_page_shows_sources_documents_and_what_was_dropped_with_its_reason(tmp_path):
    page = page_of(tmp_path)
    for shown in ("rephrase of corpus", "manual/rows#0.rephrase-0", "dropped: repetition", "75.0 %", "too short"):
        assert shown in page
    assert "copy</td>" not in page


def test_text_from_outside_is_shown_as_text(tmp_path):
    page = page_of(tmp_path)
    assert "&lt;b&gt;no more&lt;/b&gt;" in page
    assert "again &amp; again" in page
    assert "tiny &lt;1B&gt;" in page
    assert "<b>no more" not in page


def test_the_page_needs_nothing_but_itself(tmp_path):
    assert not re.search(r"(?:src|href)=|@import|url\(", page_of(tmp_path))


def test_what_a_document_takes_over_word_for_word_is_marked(tmp_path):
    assert "<mark>a row has a value for every column of</mark> the table" in page_of(tmp_path)


def test_a_page_without_documents_says_so(tmp_path):
    assert "No documents to show" in page_of(tmp_path, samples=[], counts={})


@given(st.text(alphabet="ab1. \nÄİ"), st.text(alphabet="ab1. \nÄİ"))
def test_the_parts_of_a_text_joined_are_the_text(text, source):
    assert "".join(part for part, _ in parts(text, source, run=2)) == text
