"""Seeds: each document once or drawn uniformly, the same ones for any number of parts."""

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from data_tools.errors import InputError
from data_tools.synthesis.seeds import Seeds
from tests.support import make_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("seeds"), documents=40)


def numbers(corpus: Path, *, parts: int, draws: bool = False, limit: int | None = None, seed: int = 1) -> list[int]:
    seeds = Seeds(corpus, draws=draws, limit=limit, seed=seed)
    return [found.number for part in range(parts) for found in seeds.of_part(part, parts)]


@pytest.mark.parametrize("parts", [1, 3, 64])
def test_every_document_is_taken_once_by_any_number_of_parts(corpus: Path, parts: int) -> None:
    assert sorted(numbers(corpus, parts=parts)) == list(range(40))


@pytest.mark.parametrize("parts", [2, 7])
def test_a_limit_takes_the_same_documents_for_any_number_of_parts(corpus: Path, parts: int) -> None:
    assert sorted(numbers(corpus, parts=parts, limit=11)) == sorted(numbers(corpus, parts=1, limit=11))
    assert len(set(numbers(corpus, parts=parts, limit=11))) == 11


def test_a_larger_limit_keeps_the_documents_of_a_smaller_one(corpus: Path) -> None:
    assert set(numbers(corpus, parts=2, limit=11)) < set(numbers(corpus, parts=2, limit=20))


def test_the_order_is_no_order_of_the_corpus_and_follows_the_seed(corpus: Path) -> None:
    assert numbers(corpus, parts=1) != sorted(numbers(corpus, parts=1))
    assert numbers(corpus, parts=1) != numbers(corpus, parts=1, seed=2)


def test_draws_are_uniform_with_replacement_and_each_knows_its_place(corpus: Path) -> None:
    seeds = Seeds(corpus, draws=True, limit=None, seed=1)
    found = list(islice(seeds.of_part(1, 4), 4000))
    assert [seed.draw for seed in found[:3]] == [1, 5, 9]
    counts = Counter(seed.number for seed in found)
    assert len(counts) == 40
    assert 50 < min(counts.values()) <= 100 <= max(counts.values()) < 150


def test_a_seed_is_the_document_of_the_corpus(corpus: Path) -> None:
    seed = next(Seeds(corpus, draws=False, limit=1, seed=1).of_part(0, 1))
    assert seed.text.endswith(f" {seed.number}")
    assert seed.name == f"manual/{seed.number}#0"
    assert seed.ids[-1] == seed.tokenizer.eos


def test_more_documents_than_there_are_is_refused(corpus: Path) -> None:
    with pytest.raises(InputError, match="found 40 documents, expected at least 41"):
        Seeds(corpus, draws=False, limit=41, seed=1)
