"""Subsets: as many tokens as were asked for, of documents drawn, the smaller in the larger."""

import numpy as np
import pytest

from data_tools.corpus.views import View
from data_tools.errors import InputError
from data_tools.steps.subset import subset
from tests.support import make_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("subset"))


@pytest.mark.parametrize("tokens", [1, 100, 777])
def test_a_subset_has_exactly_the_tokens_and_a_larger_one_begins_with_them(corpus, tmp_path, tokens):
    subset(corpus, tmp_path / "small", tokens=tokens)
    subset(corpus, tmp_path / "large", tokens=1000)
    small, large = View(tmp_path / "small"), View(tmp_path / "large")
    assert (small.size, large.size) == (tokens, 1000)
    assert np.array_equal(small.tokens(0, tokens), large.tokens(0, tokens))


def test_documents_are_whole_drawn_once_and_in_no_order_of_the_corpus(corpus, tmp_path):
    counts = subset(corpus, tmp_path / "view", tokens=900).counts
    view = View(tmp_path / "view")
    members = [view.members(group)[0] for group in range(len(view))]
    numbers = [int(member["document"]) for member in members]
    assert counts["documents"] == len(numbers) == len(set(numbers))
    assert numbers != sorted(numbers)
    assert all(member["end"] == view.corpora[0].lengths[member["document"]] for member in members[:-1])


def test_more_tokens_than_there_are_are_refused(corpus, tmp_path):
    with pytest.raises(InputError, match="at least 10000000 to draw"):
        subset(corpus, tmp_path / "view", tokens=10_000_000)
