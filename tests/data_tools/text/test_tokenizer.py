"""Tokenizers give text back unchanged, are the same whenever trained, and say what is wrong with their input."""

import random

import pytest

from data_tools.errors import InputError
from data_tools.text.readers import Document, write_documents
from data_tools.text.tokenizer import Tokenizer
from data_tools.text.training import train_tokenizer


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghij", k=chance.randint(2, 8))) for _ in range(300)]
    path = tmp_path_factory.mktemp("documents") / "a.jsonl.zst"
    write_documents(path, [Document(f"p{n}", " ".join(chance.choices(words, k=80)), "s", "l") for n in range(100)])
    return path


@pytest.fixture(scope="module")
def tokenizer(documents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    train_tokenizer([documents], folder, vocabulary=600)
    return Tokenizer.load(folder)


TEXTS = ["", " ", "  a\n\n\tb  \n", "日本 üñ \U0001f418", "\u00a0z", "a\r\nb", "<eos> <unk> <0x41>", "x" * 999]


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back_unchanged(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode([text])[0]) == text


def test_every_id_is_below_the_vocabulary_asked_for(tokenizer):
    assert tokenizer.vocabulary == 600
    assert max(tokenizer.encode(["abc 日本\n"])[0]) < 600


def test_a_tokenizer_is_loaded_from_its_file_too(tokenizer):
    assert Tokenizer.load(tokenizer.path).hash == tokenizer.hash


def test_a_vocabulary_larger_than_the_text_allows_is_refused(documents, tmp_path):
    with pytest.raises(InputError, match="Vocabulary size too high"):
        train_tokenizer([documents], tmp_path / "tokenizer", vocabulary=100_000)
    assert not (tmp_path / "tokenizer").exists()


def test_a_bad_line_met_in_training_is_named(tmp_path):
    (tmp_path / "bad.jsonl").write_text("not json\n")
    with pytest.raises(InputError, match=r"bad\.jsonl:1: found no JSON"):
        train_tokenizer([tmp_path / "bad.jsonl"], tmp_path / "tokenizer", vocabulary=600)
