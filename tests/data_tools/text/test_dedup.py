"""Signatures tell how similar two texts are, and pairs of duplicates become clusters."""

import random

import numpy as np
import pytest

from data_tools.text.dedup import (
    PERMUTATIONS,
    RECALL,
    MinHash,
    SameWords,
    band_keys,
    bands_for,
    clusters,
    similarities,
    words_of,
)
from data_tools.text.shingles import normalised_words

pytest.importorskip("rensa")


def text(chance, words):
    return " ".join("".join(chance.choices("abcdefgh", k=6)) for _ in range(words))


def estimated(texts, ngram):
    rows = MinHash(ngram)(texts).astype(np.uint8)
    return similarities(rows, np.array([[0, 1]]))[0]


@pytest.mark.parametrize("given", ["The cat, 9 cats; don't", "Ünïcode straße_x 日本 ﬁ", "", "0_1-2", "A\tB\x1fD\x85E"])
def test_words_are_those_of_the_rule_for_pairs(given):
    assert [word.decode() for word in words_of(given)] == normalised_words(given)


@pytest.mark.parametrize("ngram", [1, 2, 5, 9])
def test_the_estimate_is_near_the_jaccard_similarity_of_the_ngrams(ngram):
    errors = []
    for seed in range(40):
        chance = random.Random(seed)
        words = text(chance, 300).split()
        other = words[: chance.randint(0, 300)] + text(chance, chance.randint(1, 99)).split()
        one, two = ({tuple(each[n : n + ngram]) for n in range(len(each) - ngram + 1)} for each in (words, other))
        errors.append(estimated([" ".join(words), " ".join(other)], ngram) - len(one & two) / len(one | two))
    assert abs(np.mean(errors)) < 0.02
    assert np.abs(errors).max() < 0.2


def test_case_punctuation_and_digits_make_no_difference():
    assert estimated(["One, two; THREE four 5", "one two three FOUR! 66"], 2) == 1


@pytest.mark.parametrize("sign", [MinHash(5), SameWords()])
@pytest.mark.parametrize(("one", "other"), [("a b", "a c"), ("1 2", "4 5"), ("日本。", "中国。"), ("a", "a b c d e f")])
def test_short_texts_and_texts_without_words_are_equal_only_to_their_like(sign, one, other):
    rows = sign([one, other, one]).astype(np.uint8)
    assert similarities(rows, np.array([[0, 2]]))[0] == 1
    assert similarities(rows, np.array([[0, 1]]))[0] < 0.4


def test_a_signature_does_not_depend_on_the_texts_beside_it():
    chance = random.Random(1)
    texts = [text(chance, words) for words in (3, 50, 0, 1, 200, 5)]
    alone = np.concatenate([MinHash(5)([each]) for each in texts])
    assert (MinHash(5)(texts) == alone).all()


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 1.0])
def test_pairs_at_the_threshold_become_candidates(threshold):
    bands, rows = bands_for(threshold)
    assert bands * rows <= PERMUTATIONS
    assert 1 - (1 - threshold**rows) ** bands >= RECALL
    chance = np.random.default_rng(0)
    one = chance.integers(2**32, size=(2000, PERMUTATIONS), dtype=np.uint32)
    two = np.where(chance.random(one.shape) < threshold, one, chance.integers(2**32, size=one.shape, dtype=np.uint32))
    met = (band_keys(one, bands, rows) == band_keys(two, bands, rows)).any(axis=0)
    assert met.mean() >= RECALL - 0.01


@pytest.mark.parametrize("seed", range(10))
def test_clusters_are_what_pairs_connect_named_by_their_first(tmp_path, seed):
    chance = np.random.default_rng(seed)
    pairs = np.sort(chance.integers(200, size=(chance.integers(1, 250), 2)), axis=1)
    np.save(tmp_path / "a.npy", pairs[::2].astype(np.uint32))
    np.save(tmp_path / "b.npy", pairs[1::2].astype(np.uint32))
    expected = list(range(200))
    for _ in range(200):
        for one, other in pairs.tolist():
            expected[one] = expected[other] = min(expected[one], expected[other])
    assert clusters(200, [tmp_path / "a.npy", tmp_path / "b.npy"]).tolist() == expected


def test_a_long_chain_is_one_cluster(tmp_path):
    chain = np.stack([np.arange(99_999), np.arange(1, 100_000)], axis=1)[::-1]
    np.save(tmp_path / "a.npy", chain.astype(np.uint32))
    assert not clusters(100_000, [tmp_path / "a.npy"]).any()
