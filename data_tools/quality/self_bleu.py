"""How alike the documents of one source are: the mean BLEU of each against the others. 1 for copies of one text.

BLEU is sacrebleu's sentence BLEU (order 4, exponential smoothing, effective order), over the words that all rules
count, as a share and not in per cent. A group costs one pass over its n-grams, however many documents it has.

Source: Zhu et al. 2018, Texygen (self-BLEU); Papineni et al. 2002 (BLEU); Post 2018 (sacrebleu).
"""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from data_tools.corpus.indexed import CHUNK
from data_tools.permutation import Permutation

ORDER = 4

Grams = Counter[tuple[object, ...]]


def self_bleu(texts: Sequence[Sequence[object]]) -> list[float]:
    """BLEU of each text against all others.

    Args:
        texts: their words; at least two texts.
    """
    lengths = [len(text) for text in texts]
    matches = np.zeros((ORDER, len(texts)), dtype=np.int64)
    for order in range(1, ORDER + 1):
        counts = [_grams(text, order) for text in texts]
        most, second = _two_highest(counts)
        for number, own in enumerate(counts):
            # What the others hold at most of a gram: the highest count, or the second where the highest is its own.
            matches[order - 1, number] = sum(
                min(count, second[gram] if most[gram][1] == number else most[gram][0]) for gram, count in own.items()
            )
    return [
        _bleu(matches[:, number].tolist(), length, _closest(length, lengths[:number] + lengths[number + 1 :]))
        for number, length in enumerate(lengths)
    ]


def groups_of(sources: np.ndarray, *, groups: int, most: int, seed: int) -> list[tuple[int, ...]]:
    """Documents of some sources, drawn uniformly from those that have at least two.

    Args:
        sources: number of each document's source, below 2^31 as arrays of that size are made.
        groups: sources to draw.
        most: documents of one source; further ones are left out.
        seed: of the draw.
    """
    counts = np.zeros(int(max(sources[at : at + CHUNK].max() for at in range(0, len(sources), CHUNK))) + 1, np.int64)
    for at in range(0, len(sources), CHUNK):
        counts += np.bincount(sources[at : at + CHUNK].astype(np.int64), minlength=len(counts))
    eligible = np.flatnonzero(counts > 1)
    if not len(eligible):
        return []
    order = Permutation(len(eligible), ("self-BLEU", seed))
    chosen = np.zeros(len(counts), dtype=bool)
    chosen[eligible[[order.at(place) for place in range(min(groups, len(eligible)))]]] = True
    numbers = np.concatenate(
        [at + np.flatnonzero(chosen[sources[at : at + CHUNK].astype(np.int64)]) for at in range(0, len(sources), CHUNK)]
    )
    own = sources[numbers]
    numbers = numbers[np.argsort(own, kind="stable")]
    edges = np.flatnonzero(np.diff(sources[numbers].astype(np.int64), prepend=-1, append=-1))
    return [tuple(numbers[first:stop][:most].tolist()) for first, stop in pairwise(edges)]


def _grams(words: Sequence[object], order: int) -> Grams:
    return Counter(zip(*(words[place:] for place in range(order)), strict=False))


def _two_highest(counts: Sequence[Grams]) -> tuple[dict[tuple[object, ...], tuple[int, int]], Grams]:
    """Of each gram its highest count and whose that is, and the second highest count."""
    most, second = dict[tuple[object, ...], tuple[int, int]](), Grams()
    for number, own in enumerate(counts):
        for gram, count in own.items():
            highest = most.get(gram, (0, -1))[0]
            if count > highest:
                most[gram], second[gram] = (count, number), highest
            else:
                second[gram] = max(second[gram], count)
    return most, second


def _closest(length: int, others: Sequence[int]) -> int:
    """The others' length that is nearest, the shorter of two."""
    return min(others, key=lambda other: (abs(other - length), other))


def _bleu(matches: Sequence[int], length: int, reference: int) -> float:
    if not any(matches):
        return 0.0
    logs, halved = list[float](), 1.0
    for order, matched in enumerate(matches):
        total = length - order
        if total <= 0:
            break
        if not matched:
            halved *= 2
        logs.append(math.log(matched / total if matched else 1 / (halved * total)))
    brevity = 1.0 if length >= reference else math.exp(1 - reference / length)
    return brevity * math.exp(sum(logs) / len(logs))
