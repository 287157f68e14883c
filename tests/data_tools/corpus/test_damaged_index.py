"""Whatever happens to an index, it is refused with its name, and nothing is read that no document holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.corpus.indexed import DTYPE_CODES, HEADER, MAGIC, CorpusWriter, IndexedCorpus, token_dtype
from data_tools.corpus.verify import verify_corpus
from data_tools.errors import InputError

LENGTHS = [1, 7, 40, 2, 30, 1, 5]
BYTES = HEADER.size + 20 * len(LENGTHS) + 8


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("damaged") / "corpus"
    chance = np.random.default_rng(5)
    documents = [chance.integers(0, 600, length) for length in LENGTHS]
    with CorpusWriter(prefix, token_dtype(600)) as writer:
        for tokens in documents:
            writer.add(tokens)
    index = prefix.with_suffix(".idx")
    assert index.stat().st_size == BYTES
    return prefix, index.read_bytes(), [tokens.tolist() for tokens in documents]


def check_refused(corpus, data):
    """Put these bytes in the index's place; no document may be read otherwise than it is, and verification refuses."""
    prefix, whole, documents = corpus
    if data == whole:
        return
    prefix.with_suffix(".idx").write_bytes(data)
    with pytest.raises(InputError, match=r"corpus\.(idx|bin)"):
        verify_corpus(prefix)
    try:
        read = IndexedCorpus(prefix)
    except InputError:
        return
    for number, tokens in enumerate(documents):
        try:
            found = read.document(number).tolist()
        except InputError:
            continue
        assert found == tokens


@settings(max_examples=400, deadline=None)
@given(place=st.integers(0, BYTES - 1), bit=st.integers(0, 7))
def test_a_single_flipped_bit(corpus, place, bit):
    data = bytearray(corpus[1])
    data[place] ^= 1 << bit
    check_refused(corpus, bytes(data))


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, BYTES - 1), stretch=st.binary(min_size=1, max_size=40))
def test_a_stretch_that_was_written_over(corpus, place, stretch):
    data = corpus[1][:place] + stretch + corpus[1][place + len(stretch) :]
    check_refused(corpus, data[:BYTES])


@pytest.mark.parametrize("size", [0, 1, 9, 33, 34, 62, BYTES // 2, BYTES - 1])
def test_a_file_that_is_cut_off(corpus, size):
    check_refused(corpus, corpus[1][:size])


@pytest.mark.parametrize("added", [b"\0", b"\0" * 8, b"\0" * 20])
def test_a_file_that_is_longer(corpus, added):
    check_refused(corpus, corpus[1] + added)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300))
def test_a_foreign_file(corpus, data):
    check_refused(corpus, data)
    check_refused(corpus, MAGIC + data)


@pytest.mark.parametrize("count", [10**18, 2**63, 2**64 - 2, 0])
def test_a_header_that_claims_more_documents_than_any_disk_holds(corpus, count):
    header = HEADER.pack(MAGIC, 1, DTYPE_CODES[token_dtype(600)], count, count + 1)
    check_refused(corpus, header + corpus[1][HEADER.size :])
