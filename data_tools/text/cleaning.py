"""The cleaning rules of synthetic bootstrapped pretraining, one function each.

Source: SBP, appendix on the dataset: line breaks normalised, long URLs removed, malformed Unicode fixed, long documents
dropped, duplicates dropped. `NORMALISERS` is the whole list of rules that change a text, in order.

Most text is plain, and most of the time of a rule would go into finding nothing: each first looks whether there is
anything for it to do, which is many times faster.
"""

import re
from collections.abc import Callable, Mapping
from io import StringIO
from unicodedata import is_normalized

import ftfy
from ftfy.badness import is_bad

LONGEST_URL = 60
"""Characters; shorter URLs read as text, longer ones are mostly keys and tracking."""

URL = re.compile(r"https?://\S+")
LINE_END = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c]")
LINE_ENDS = "\r\u2028\u2029\x0b\x0c"
MANY_BREAKS = re.compile(r"\n{3,}")
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
PLAIN = bytes({*range(32, 127), *b"\t\n"} - {ord("&")})
"""ASCII that ftfy never changes."""
SUSPECT = re.compile(
    "[\x00-\x08\x0b-\x1f&\x7f-\x9f\u2028\u2029\u206a-\u206f\u3000\ud800-\udfff\ufeff\uff01-\uffef\ufff9-\ufffb]"
)
"""Other characters that it may change even where no encoding was mistaken."""
MISTAKABLE = re.compile("[\x80-\u2fff\ue000-\U0010ffff]+")
"""What an encoding that was mistaken for another can leave; Chinese characters are none of it."""


def fix_unicode(text: str) -> str:
    """Mojibake, lone surrogates and control characters mended or removed."""
    if _is_sound(text):
        return text
    # Entities are markup's in a text with tags, where &lt; means what it says.
    config = ftfy.TextFixerConfig(uncurl_quotes=False, fix_latin_ligatures=False, unescape_html="<" not in text)
    lines = (line if _is_sound(line) else ftfy.fix_text(line, config) for line in StringIO(text, newline="\n"))
    return CONTROL.sub("", "".join(lines))


def normalise_line_breaks(text: str) -> str:
    """One kind of line break, none of them more than twice in a row, no spaces at a line's end."""
    if any(end in text for end in LINE_ENDS):
        text = LINE_END.sub("\n", text)
    lines = text.split("\n")
    if any(line.endswith((" ", "\t")) for line in lines):
        text = "\n".join(line.rstrip(" \t") for line in lines)
    if "\n\n\n" in text:
        text = MANY_BREAKS.sub("\n\n", text)
    return text.strip()


def remove_long_urls(text: str) -> str:
    """URLs longer than LONGEST_URL characters removed."""
    if "://" not in text:
        return text
    return URL.sub(lambda match: "" if len(match[0]) > LONGEST_URL else match[0], text)


def has_more_words(text: str, limit: int) -> bool:
    """Whether there are more than `limit` words."""
    return len(text) > 2 * limit and len(text.split(None, limit)) > limit


NORMALISERS: Mapping[str, Callable[[str], str]] = {
    "unicode": fix_unicode,
    "long_urls": remove_long_urls,
    "line_breaks": normalise_line_breaks,
}


def _is_sound(text: str) -> bool:
    """Whether ftfy would change nothing."""
    if text.isascii():
        return not text.encode().translate(None, PLAIN)
    if SUSPECT.search(text) or not is_normalized("NFC", text):
        return False
    # What ftfy looks for is a few characters long and has at least one such in it: all else need not be searched.
    places = (slice(max(0, match.start() - 3), match.end() + 3) for match in MISTAKABLE.finditer(text))
    return not is_bad("\n".join([text[place] for place in places]))
