"""How near an answer is to the right ones, and how sure a mean over questions is. Arithmetic on texts and numbers only.

Two texts are compared after both are normalised, by the rules that the field's tables are made with:

| rules | after lower case | then |
|---|---|---|
| squad | punctuation is removed | the words a, an, the; white space |
| triviaqa | punctuation and underscores become spaces, curly quotation marks and accents too | the same |

Of several right answers the best counts, for each measure on its own.

Sources: Rajpurkar et al. 2016 (SQuAD), section 6.1; Joshi et al. 2017 (TriviaQA), section 6.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data_tools.errors import InputError
from data_tools.intervals import wilson

ARTICLES = re.compile(r"\b(?:a|an|the)\b")
REMOVED = str.maketrans("", "", string.punctuation)
SPACED = str.maketrans(dict.fromkeys(string.punctuation + "‘’´`", " "))
RULES: dict[str, dict[int, str | None]] = {"squad": REMOVED, "triviaqa": SPACED}
"""Name -> what becomes of punctuation."""

RESAMPLES = 10_000
SEED = 20_250_901


def require_rules(name: str) -> str:
    """The name, if there are such rules.

    Raises:
        InputError: there are none.
    """
    if name not in RULES:
        raise InputError(where="--rules", found=repr(name), expected=" or ".join(RULES), fix="Choose one of them.")
    return name


def normalise(text: str, rules: str = "squad") -> str:
    """A text as it is compared: lower case, no punctuation, no articles, single spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(RULES[rules])).split())


def exact_match(answer: str, right: Sequence[str], rules: str = "squad") -> float:
    """1.0 if the answer is one of the right ones, else 0.0; both normalised."""
    return _best(answer, right, rules, lambda given, wanted: float(given == wanted))


def f1(answer: str, right: Sequence[str], rules: str = "squad") -> float:
    """2 P R / (P + R) of the words that answer and right answer share, each as often as both have it.

    Where one of them has no words after it was normalised, 1.0 if the other has none either.
    """
    return _best(answer, right, rules, _overlap)


def _best(answer: str, right: Sequence[str], rules: str, measure: Callable[[str, str], float]) -> float:
    given = normalise(answer, rules)
    return max(measure(given, normalise(wanted, rules)) for wanted in right)


def _overlap(given: str, wanted: str) -> float:
    words, others = given.split(), wanted.split()
    if not words or not others:
        return float(words == others)
    shared = (Counter(words) & Counter(others)).total()
    return 2 * shared / (len(words) + len(others))


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over questions, and the interval that holds the true one in 95% of samples."""

    value: float
    low: float
    high: float


def share(hits: Sequence[float]) -> Mean:
    """Of values 0 and 1, with Wilson's interval."""
    return Mean(sum(hits) / len(hits), *wilson(round(sum(hits)), len(hits)))


def mean(values: Sequence[float]) -> Mean:
    """Of values between 0 and 1, with the bootstrap's percentile interval; the same for the same values on any day.

    Few values differ, so a resample is drawn by how often each comes, not question by question.
    """
    different, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    draws = np.random.default_rng(SEED).multinomial(len(values), counts / len(values), size=RESAMPLES)
    low, high = np.quantile(draws @ different / len(values), (0.025, 0.975))
    return Mean(float(different @ counts / len(values)), float(low), float(high))
