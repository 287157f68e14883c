"""Why a synthetic document is dropped: each rule has a name, and the first that holds is counted.

Promises: a rule looks at the document and its seed only, so the same documents are kept whatever the order and on any
day; a document that a recipe calls faulty is dropped whatever rules apply.

    empty        nothing but white space
    short        fewer words than `fewest_words`
    repetition   a shingle of words occurs twice
    truncated    the model was cut at the length limit
    copy         most of its shingles stand in the seed document
    language     another language than the seed's, where both are certain
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from data_tools.errors import InputError
from data_tools.synthesis.recipe import Draft
from data_tools.text.language import language_of
from data_tools.text.shingles import normalised_words, repeats_a_shingle

NAMES = ("empty", "short", "repetition", "truncated", "copy", "language")
"""In the order in which they are tried: a loop that was cut is a loop, and no longer limit would have helped."""

LEFT_OUT = {
    "sbp": ("truncated", "copy", "language"),  # as in the paper; copies and the rest are measured, not dropped
    "qa": ("copy",),  # an answer is meant to be found in the document
    "repeat": ("short", "repetition", "truncated", "copy", "language"),  # they are the corpus' own documents
}
"""Of each recipe whose documents aren't held to all rules."""

SEEDS_KEPT = 64
"""Whose shingles and language are kept: the documents of a seed come one after the other."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which rules apply, and their limits."""

    apply: tuple[str, ...] = NAMES
    shingle: int = 13
    """Words in a row, lower-case and without digits and punctuation."""
    copied: float = 0.5
    """Share of a document's shingles; one that has more of them from its seed is a copy."""
    fewest_words: int = 5

    @classmethod
    def of(cls, recipe: str, *, skip: Iterable[str] = (), add: Iterable[str] = (), **limits: float) -> Self:
        """What a recipe's documents are held to, without those to `skip` and with those to `add`.

        Raises:
            InputError: there is no rule of such a name.
        """
        skip, add = tuple(skip), tuple(add)
        for name in (*skip, *add):
            if name not in NAMES:
                raise InputError(
                    where="filters of synthesis", found=f"{name!r}", expected=f"one of {', '.join(NAMES)}",
                    fix="Correct the name.",
                )  # fmt: skip
        left_out = ({*LEFT_OUT.get(recipe, ())} - {*add}) | {*skip}
        return cls(apply=tuple(name for name in NAMES if name not in left_out), **limits)

    def reason(self, draft: Draft, seed_text: str) -> str | None:
        """Why a document is dropped; None for one that is kept."""
        words = normalised_words(draft.text)
        return draft.fault or next((name for name in self.apply if self._holds(name, draft, words, seed_text)), None)

    def _holds(self, name: str, draft: Draft, words: Sequence[str], seed_text: str) -> bool:
        match name:
            case "empty":
                return not draft.text.strip()
            case "short":
                return len(words) < self.fewest_words
            case "repetition":
                return repeats_a_shingle(words, self.shingle)
            case "truncated":
                return draft.truncated
            case "copy":
                return _share_copied(words, seed_text, self.shingle) > self.copied
            case _:
                language, seed_language = language_of(draft.text), _language(seed_text)
                return None not in (language, seed_language) and language != seed_language


def _share_copied(words: Sequence[str], seed_text: str, size: int) -> float:
    """Of the shingles; a text shorter than one shingle copies nothing."""
    own = _shingles(words, size)
    return len(own & _seed_shingles(seed_text, size)) / len(own) if own else 0.0


def _shingles(words: Sequence[str], size: int) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(words[start : start + size]) for start in range(len(words) - size + 1))


@lru_cache(maxsize=SEEDS_KEPT)
def _seed_shingles(text: str, size: int) -> frozenset[tuple[str, ...]]:
    return _shingles(normalised_words(text), size)


_language = lru_cache(maxsize=SEEDS_KEPT)(language_of)
