"""Rules over documents: each against a few documents of which the answer is known."""

import math

import numpy as np
import pytest

from data_tools.intervals import wilson
from data_tools.quality.documents import opened
from data_tools.quality.overlap import Index, Item, described, write_index
from data_tools.quality.runs import WordHashes, jaccard, repeated_run, share_found
from data_tools.quality.self_bleu import groups_of, self_bleu
from data_tools.quality.spread import balance, distinct, histogram, quantiles
from tests.data_tools.quality.corpora import corpus_of, sentence

HASHES = WordHashes()


def test_a_run_of_13_words_that_comes_twice_is_found_where_it_begins_and_one_of_12_is_not():
    thirteen, twelve = sentence(1, 13), sentence(1, 12)
    twice = f"{sentence(2, 5)} {thirteen} {sentence(3, 4)} {thirteen}"
    assert repeated_run(HASHES.of(twice), 13) == 5
    assert repeated_run(HASHES.of(f"{twelve} {sentence(2, 5)} {twelve}"), 13) is None
    assert repeated_run(HASHES.of("too short"), 13) is None


def test_case_digits_and_punctuation_make_no_difference_to_what_is_a_copy():
    text = sentence(1)
    assert jaccard(HASHES.of(text), HASHES.of(text.upper().replace(" ", ", 7 ")), 5) == 1
    assert jaccard(HASHES.of(text), HASHES.of(sentence(2)), 5) == 0


def test_similarity_is_the_share_of_all_runs_that_both_texts_have():
    one, other = sentence(1, 10), sentence(1, 6) + " " + sentence(2, 4)
    assert jaccard(HASHES.of(one), HASHES.of(other), 5) == 2 / 10  # of 6 and 6 runs, 2 are shared
    assert share_found(HASHES.of(sentence(1, 30)), HASHES.of(sentence(1, 21)), 13) == 9 / 18


def test_self_bleu_is_sacrebleus_sentence_bleu_against_the_other_texts():
    texts = [
        "the cat sat on the mat and looked at the dog", "the cat sat on a mat and looked at a bird",
        "a dog ran over the hill", "x y",
    ]  # fmt: skip
    found = self_bleu([text.split() for text in texts])
    assert found == pytest.approx([0.4832697830906221, 0.4832697830906221, 0.10682175159905853, 0])  # sacrebleu 2.6.0


def test_self_bleu_of_any_texts_is_sacrebleus():
    sacrebleu = pytest.importorskip("sacrebleu")
    draw = np.random.default_rng(7)
    for _ in range(20):
        texts = [[f"w{word}" for word in draw.integers(0, 9, draw.integers(1, 25))] for _ in range(4)]
        joined = [" ".join(text) for text in texts]
        expected = [
            sacrebleu.sentence_bleu(text, joined[:place] + joined[place + 1 :], tokenize="none").score / 100
            for place, text in enumerate(joined)
        ]
        assert self_bleu(texts) == pytest.approx(expected)


def test_copies_of_one_text_have_a_self_bleu_of_1():
    assert self_bleu([sentence(1).split()] * 3) == pytest.approx([1, 1, 1])


def test_groups_are_documents_of_one_source_and_sources_with_one_document_are_left_out():
    sources = np.array([4, 0, 4, 2, 0, 4, 9])
    assert groups_of(sources, groups=10, most=8, seed=1) == [(1, 4), (0, 2, 5)]
    assert groups_of(sources, groups=10, most=2, seed=1) == [(1, 4), (0, 2)]
    assert len(groups_of(sources, groups=1, most=8, seed=1)) == 1
    assert groups_of(np.arange(5), groups=10, most=8, seed=1) == []


def test_balance_says_how_many_documents_the_busiest_sources_have():
    even = balance(np.array([0, 1, 2, 3]))
    assert (even["sources"], even["gini"], even["mean"]) == (4, pytest.approx(0), 1)
    # Counts 1 and 3: the mean difference of two sources is 1, half of it by the mean of 2 is 1/4.
    uneven = balance(np.array([5, 7, 7, 7]))
    assert uneven["gini"] == pytest.approx(0.25)
    assert (uneven["top_percent"], uneven["most"]) == (0.75, 3)


def test_quantiles_are_lengths_of_documents_whatever_the_parts():
    whole = quantiles([np.arange(1, 101)])
    assert whole == quantiles([np.arange(51, 101), np.arange(1, 51)])
    assert (whole["least"], whole["median"], whole["most"], whole["mean"]) == (1, 51, 100, 50.5)
    assert histogram([np.array([0, 1, 2, 3, 4])]) == [
        {"from": 0, "to": 0, "documents": 1}, {"from": 1, "to": 1, "documents": 1},
        {"from": 2, "to": 3, "documents": 2}, {"from": 4, "to": 7, "documents": 1},
    ]  # fmt: skip


def test_distinct_n_counts_different_runs_within_documents(tmp_path):
    documents = opened(corpus_of(tmp_path / "corpus", ["row row row table", "row row"]))
    found = distinct(documents, seed=1)
    assert found["words"] == 6
    assert found["distinct_1"] == 2 / 6
    assert found["distinct_2"] == 2 / 4
    assert found["distinct_4"] == 1
    assert distinct(documents, seed=1, words=3)["words"] == 3


def test_an_overlap_names_the_item_and_the_longest_text_in_common(tmp_path):
    question = sentence(1, 20)
    items = [
        Item("benchmark_overlap", "arc.jsonl", "arc.jsonl:1", (question, "an answer")),
        Item("benchmark_overlap", "arc.jsonl", "arc.jsonl:2", ("too short to be found",)),
        Item("heldout_overlap", "heldout", "page/3#0", (sentence(2),)),
    ]
    write_index(tmp_path / "items" / "index", iter(items))
    index = Index(tmp_path / "items" / "index")
    text = f"{sentence(3, 7)} {question.upper()} {sentence(4, 3)} {sentence(1, 13)}"
    found = index.look_up(HASHES.of(text))
    assert list(found) == [0]
    [row] = described(index, found, "page/9#0", text)
    assert row | {"runs": 0} == {
        "document": "page/9#0", "measure": "benchmark_overlap", "item": "arc.jsonl:1", "of": "arc.jsonl", "runs": 0,
        "words": 20, "text": question,
    }  # fmt: skip
    assert not index.look_up(HASHES.of(sentence(1, 12)))
    assert [item["short"] for item in index.items] == [False, True, False]


@pytest.mark.parametrize(
    ("count", "of", "low", "high"), [(0, 20, 0, 0.1611), (10, 100, 0.0552, 0.1744), (5, 5, 0.5655, 1)]
)
def test_an_interval_is_wilsons(count, of, low, high):
    assert wilson(count, of) == pytest.approx((low, high), abs=1e-4)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(0)
    for share, size in ((0.02, 200), (0.3, 40)):
        counts = draw.binomial(size, share, 2000)
        held = np.mean([low <= share <= high for low, high in (wilson(int(count), size) for count in counts)])
        assert held > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 2000) - 0.01


def test_nothing_is_known_of_a_share_of_nothing():
    assert wilson(0, 0) == (0, 1)
