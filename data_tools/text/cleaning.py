"""The cleaning rules of synthetic bootstrapped pretraining, one function each.

Source: SBP, appendix on the dataset: line breaks normalised, long URLs removed, malformed Unicode fixed, long documents
dropped. `NORMALISERS` is the whole list of rules that change a text, in order.
"""

import re
from collections.abc import Callable, Mapping

import ftfy

LONGEST_URL = 60
"""Characters; shorter URLs read as text, longer ones are mostly keys and tracking."""

URL = re.compile(r"https?://\S+")
LINE_END = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c]")
TRAILING_SPACE = re.compile(r"[ \t]+(?=\n|$)")
MANY_BREAKS = re.compile(r"\n{3,}")
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def fix_unicode(text: str) -> str:
    """Mojibake, lone surrogates and control characters mended or removed."""
    return CONTROL.sub("", ftfy.fix_text(text, uncurl_quotes=False, fix_latin_ligatures=False))


def normalise_line_breaks(text: str) -> str:
    """One kind of line break, none of them more than twice in a row, no spaces at a line's end."""
    text = TRAILING_SPACE.sub("", LINE_END.sub("\n", text))
    return MANY_BREAKS.sub("\n\n", text).strip()


def remove_long_urls(text: str) -> str:
    """URLs longer than LONGEST_URL characters removed."""
    return URL.sub(lambda match: "" if len(match[0]) > LONGEST_URL else match[0], text)


NORMALISERS: Mapping[str, Callable[[str], str]] = {
    "unicode": fix_unicode,
    "long_urls": remove_long_urls,
    "line_breaks": normalise_line_breaks,
}
