"""A SentencePiece model as tokenizer.json gives the same ids and texts, or isn't written."""

import io

import pytest
import sentencepiece

from data_tools.text.encoders import PROBES
from data_tools.text.tokenizer import HF_MODEL, MODEL, Tokenizer
from megatron_ext.convert.sentencepiece_json import tokenizer_json
from tests.support import ROOT, WORDS, make_corpus


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    make_corpus(folder)
    return folder / "tokenizer"


def test_the_json_of_our_tokenizer_gives_its_ids_and_texts(tokenizer, tmp_path):
    for name, text in tokenizer_json(tokenizer / MODEL).items():
        (tmp_path / name).write_text(text)
    ours, theirs = Tokenizer.load(tokenizer), Tokenizer.load(tmp_path / HF_MODEL)
    texts = [*PROBES, (ROOT / "README.md").read_text(), " ".join(WORDS)]
    assert theirs.encode(texts) == ours.encode(texts)
    assert [theirs.decode(ids) for ids in ours.encode(texts)] == [ours.decode(ids) for ids in ours.encode(texts)]
    assert (theirs.eos, theirs.vocabulary) == (ours.eos, ours.vocabulary)


@pytest.mark.parametrize("settings", [{"add_dummy_prefix": True}, {"model_type": "unigram"}], ids=str)
def test_no_json_is_written_that_would_give_other_ids(settings, tmp_path):
    made = io.BytesIO()
    plain = {
        "model_type": "bpe",
        "add_dummy_prefix": False,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(WORDS), *WORDS]), model_writer=made, vocab_size=300, hard_vocab_limit=False,
        minloglevel=2, **plain | settings,
    )  # fmt: skip
    (tmp_path / MODEL).write_bytes(made.getvalue())
    assert tokenizer_json(tmp_path / MODEL) == {}
