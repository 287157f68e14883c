"""Ids are those of the reference library, whichever library gives them, and text is only ever text."""

import json
import random

import numpy as np
import pytest

from data_tools.errors import InputError
from data_tools.text.encoders import PROBES, Gigatoken, equal
from data_tools.text.readers import Document, write_documents
from data_tools.text.tokenizer import HF_CONFIG, HF_MODEL, MODEL, Tokenizer
from data_tools.text.training import train_tokenizer

TEXTS = [*PROBES, "a <eos> b<eos>", "select * from t;\n\nwhere x > 12 ", "<unk>", "naïve <e"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A tokenizer of each kind, trained on the same documents."""
    made = tmp_path_factory.mktemp("tokenizers")
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghij", k=chance.randint(1, 7))) for _ in range(400)]
    texts = [" ".join(chance.choices(words, k=60)) + "\n" for _ in range(200)]
    write_documents(made / "documents.jsonl", [Document(str(n), text, "s", "l") for n, text in enumerate(texts)])
    for kind in ("sentencepiece", "byte-level"):
        train_tokenizer([made / "documents.jsonl"], made / kind, vocabulary=600, kind=kind)
    return made


KINDS = pytest.mark.parametrize("kind", ["sentencepiece", "byte-level"])


@KINDS
def test_the_fast_library_gives_the_ids_of_the_reference(folders, kind):
    fast = Tokenizer.load(folders / kind, backend="auto")
    assert fast.backend == "gigatoken"
    reference = Tokenizer.load(folders / kind, backend="reference")
    assert fast.encode(TEXTS) == reference.encode(TEXTS)
    assert fast.agrees(TEXTS)


@KINDS
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_a_text_that_spells_the_end_token_does_not_end_a_document(folders, kind, backend):
    tokenizer = Tokenizer.load(folders / kind, backend=backend)
    (ids,) = tokenizer.encode(["one <eos> two"])
    assert tokenizer.eos not in ids
    assert tokenizer.decode(ids) == "one <eos> two"


@KINDS
def test_texts_come_back_unchanged(folders, kind):
    tokenizer = Tokenizer.load(folders / kind)
    texts = [text for text in TEXTS if "\u2581" not in text]
    assert [tokenizer.decode(ids) for ids in tokenizer.encode(texts)] == texts


@KINDS
def test_training_again_gives_the_same_bytes(folders, kind, tmp_path):
    train_tokenizer([folders / "documents.jsonl"], tmp_path / "again", vocabulary=600, kind=kind)
    name = MODEL if kind == "sentencepiece" else HF_MODEL
    assert (tmp_path / "again" / name).read_bytes() == (folders / kind / name).read_bytes()


@KINDS
def test_a_copy_beside_a_corpus_is_the_same_tokenizer(folders, kind, tmp_path):
    original = Tokenizer.load(folders / kind)
    original.copy_to(tmp_path)
    copy = Tokenizer.load(tmp_path)
    assert (copy.hash, copy.eos, copy.vocabulary) == (original.hash, original.eos, original.vocabulary)


def test_transformers_reads_the_byte_level_tokenizer_with_its_end_token(folders):
    from transformers import AutoTokenizer

    theirs, ours = AutoTokenizer.from_pretrained(folders / "byte-level"), Tokenizer.load(folders / "byte-level")
    assert theirs.eos_token_id == ours.eos
    text = "abc def\n\n12 é"
    assert theirs(text, add_special_tokens=False)["input_ids"] == ours.encode([text])[0]


def test_an_end_token_can_be_named_where_the_tokenizer_does_not_say_it(folders, tmp_path):
    settings = json.loads((folders / "byte-level" / HF_MODEL).read_text())
    settings["added_tokens"].append(settings["added_tokens"][0] | {"id": 600, "content": "<pad>"})
    (tmp_path / HF_MODEL).write_text(json.dumps(settings))
    with pytest.raises(InputError, match="no end-of-document token.*--eos.*<eos>, <pad>"):
        Tokenizer.load(tmp_path)
    assert Tokenizer.load(tmp_path, eos="<pad>").eos == 600
    Tokenizer.load(tmp_path, eos="<pad>").copy_to(tmp_path)
    assert json.loads((tmp_path / HF_CONFIG).read_text())["eos_token"] == "<pad>"
    assert Tokenizer.load(tmp_path).eos == 600


def test_a_library_that_differs_is_found_out(folders):
    here, other = (Tokenizer.load(folders / kind).reference for kind in ("sentencepiece", "byte-level"))
    assert equal(Gigatoken(folders / "byte-level" / HF_MODEL, other), other, TEXTS)
    assert not equal(Gigatoken(folders / "byte-level" / HF_MODEL, other), here, TEXTS)


@pytest.mark.parametrize("name", [MODEL, HF_MODEL])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match="found no (SentencePiece model|tokenizer)"):
        Tokenizer.load(tmp_path)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(InputError, match="found no tokenizer"):
        Tokenizer.load(tmp_path)


def test_a_batch_without_texts_has_no_ids(folders):
    for backend in ("reference", "auto"):
        ids, lengths = Tokenizer.load(folders / "byte-level", backend=backend).encode_joined([])
        assert (len(ids), len(lengths)) == (0, 0)
        assert np.issubdtype(ids.dtype, np.integer)
