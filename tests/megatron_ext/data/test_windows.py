"""Windows of a corpus: its tokens, its documents, round its end."""

import subprocess
import sys

import numpy as np
import pytest

from data_tools.corpus.indexed import CORPUS_PREFIX, CorpusWriter
from megatron_ext.config import run_from_dict
from megatron_ext.data.sources import open_source
from megatron_ext.plan.samples import Sample
from tests.support import ROOT, run_settings

LENGTHS = [7, 1, 0, 5, 30, 2, 11]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Documents whose tokens say where they stand; one is empty, one longer than a row."""
    folder = tmp_path_factory.mktemp("windows")
    numbers = iter(range(1000))
    with CorpusWriter(folder / CORPUS_PREFIX, np.dtype(np.uint16)) as writer:
        for length in LENGTHS:
            writer.add(np.array([next(numbers) for _ in range(length)]))
    return folder


def open_windows(corpus, **changes):
    settings = run_settings(corpus, steps=1)
    settings["sources"]["real"] |= changes
    return open_source(run_from_dict(settings, where="test"), "real")


DOCUMENT_OF = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
SIZE = len(DOCUMENT_OF)


@pytest.mark.parametrize("start", range(SIZE))
def test_a_window_that_reaches_the_end_goes_on_at_the_beginning(corpus, start):
    row = open_windows(corpus).row(Sample("real", 0, start))
    expected = (start + np.arange(17)) % SIZE
    assert row.tokens_S.tolist() == expected[:-1].tolist()
    assert row.labels_S.tolist() == expected[1:].tolist()
    assert row.loss_mask_S.all()
    assert row.document_S is None
    assert row.positions_S.tolist() == list(range(16))


@pytest.mark.parametrize("start", range(SIZE))
def test_isolated_documents_begin_their_own_stretch_and_positions(corpus, start):
    row = open_windows(corpus, across_documents=False).row(Sample("real", 0, start))
    tokens = row.tokens_S.tolist()
    begin, begins, previous = 0, [], None
    for place, token in enumerate(tokens):
        if previous is not None and (DOCUMENT_OF[token] != DOCUMENT_OF[previous] or token < previous):
            begin = place
        begins.append(begin)
        previous = token
    assert row.document_S.tolist() == begins
    assert row.positions_S.tolist() == [place - begin for place, begin in enumerate(begins)]
    assert tokens == open_windows(corpus).row(Sample("real", 0, start)).tokens_S.tolist()


@pytest.mark.parametrize("start", range(SIZE))
def test_the_documents_of_a_row_are_those_that_its_tokens_are_from(corpus, start):
    source = open_windows(corpus)
    tokens = source.row(Sample("real", 0, start)).tokens_S
    listed = [number for number in source.documents(Sample("real", 0, start)) if LENGTHS[number]]
    expected = DOCUMENT_OF[tokens]
    assert listed == expected[np.diff(expected, prepend=-1) != 0].tolist()


def test_rows_are_planned_and_read_without_torch():
    code = "import sys, megatron_ext.data.sources, megatron_ext.plan.samples; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
