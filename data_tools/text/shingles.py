"""Runs of words, as near-duplicates are told by them: one rule for pairs, filters and quality."""

import re
from collections.abc import Hashable, Iterator, Sequence

NOT_A_LETTER = re.compile(r"[\W\d_]+")


def normalised_words(text: str) -> list[str]:
    """Lower-case words: no punctuation, no digits."""
    return NOT_A_LETTER.sub(" ", text.lower()).split()


def shingles(tokens: Sequence[Hashable], size: int) -> Iterator[tuple[Hashable, ...]]:
    """Every run of `size` tokens, in order; none if there are fewer."""
    return (tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1))


def share_a_shingle(d1: Sequence[Hashable], d2: Sequence[Hashable], size: int = 13) -> bool:
    """Whether any `size` tokens in a row of d1 also stand in d2: the near-duplicate rule for pairs.

    Both are words of normalised text. Source: SBP, appendix A, nearest neighbour pairing.
    """
    seen = set(shingles(d2, size))
    return any(shingle in seen for shingle in shingles(d1, size))


def repeats_a_shingle(tokens: Sequence[Hashable], size: int = 13) -> bool:
    """Whether any `size` tokens in a row occur twice: the repetition rule for synthetic documents."""
    seen = set()
    for shingle in shingles(tokens, size):
        if shingle in seen:
            return True
        seen.add(shingle)
    return False
