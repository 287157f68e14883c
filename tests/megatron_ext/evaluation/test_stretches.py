"""Windows over a corpus: every token predicted once, with as much before it as is promised."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.corpus.indexed import CORPUS_PREFIX, CorpusWriter, IndexedCorpus
from megatron_ext.evaluation.stretches import stretches, windows_of

END = 0


@given(count=st.integers(1, 200), window=st.integers(1, 40), part=st.floats(0, 1))
def test_every_token_but_the_first_is_predicted_once_with_at_least_window_minus_stride_before_it(count, window, part):
    stride = max(1, round(part * window))
    predicted = []
    for start, stop, new in windows_of(count, window=window, stride=stride):
        assert 0 < stop - start <= window + 1
        for token in range(stop - new, stop):
            assert token - start >= min(token, window - stride)
            predicted.append(token)
    assert predicted == list(range(1, count))


@pytest.fixture
def corpus(tmp_path):
    with CorpusWriter(tmp_path / CORPUS_PREFIX, np.dtype(np.uint16)) as writer:
        for size in (3, 9, 1):
            writer.add(np.array([*range(100 * size, 100 * size + size), END]))
    return IndexedCorpus(tmp_path / CORPUS_PREFIX)


def test_documents_on_their_own_begin_behind_the_token_that_ends_documents_and_are_predicted_whole(corpus):
    found = list(stretches(corpus, window=5, stride=3, by_document=True))
    assert [span.tokens.tolist() for span in found if span.tokens[0] == END] == [
        [END, 300, 301, 302, END], [END, 900, 901, 902, 903, 904], [END, 100, END],
    ]  # fmt: skip
    assert sum(span.target for span in found) == corpus.token_count


def test_one_stream_runs_on_over_documents(corpus):
    found = list(stretches(corpus, window=6, stride=6, by_document=False))
    assert found[0].tokens.tolist() == [300, 301, 302, END, 900, 901, 902]
    assert found[1].tokens[0] == 902
    assert sum(span.target for span in found) == corpus.token_count - 1
