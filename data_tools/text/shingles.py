"""Normalised text and runs of its words: one rule for pairs, filters and quality.

Near-duplicates among pairs are told by runs of token ids of normalised text: near_duplicates.py.
"""

import re
from collections.abc import Hashable, Sequence

NOT_A_LETTER = re.compile(r"[\W\d_]+")


def normalised_words(text: str) -> list[str]:
    """Lower-case words: no punctuation, no digits."""
    return NOT_A_LETTER.sub(" ", text.lower()).split()


def normalised(text: str) -> str:
    """The lower-case words, with a space between them."""
    return NOT_A_LETTER.sub(" ", text.lower()).strip()


def repeats_a_shingle(tokens: Sequence[Hashable], size: int = 13) -> bool:
    """Whether any `size` tokens in a row occur twice: the repetition rule for synthetic documents."""
    seen = set()
    for start in range(len(tokens) - size + 1):
        shingle = tuple(tokens[start : start + size])
        if shingle in seen:
            return True
        seen.add(shingle)
    return False
