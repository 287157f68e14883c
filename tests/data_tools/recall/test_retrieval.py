"""The documents that questions are given: the nearest ones, as much as there is room for."""

import numpy as np
import pytest

from data_tools.errors import InputError
from data_tools.recall import retrieval
from data_tools.recall.retrieval import Passages, Retrieval, fitted, nearest, retrieve, stands_in
from data_tools.steps.embed import embed
from data_tools.steps.tokenize import tokenize
from data_tools.steps.vectors import Vectors, unit
from data_tools.text.readers import Document, write_documents
from data_tools.text.tokenizer import Tokenizer
from data_tools.text.training import train_tokenizer

TEXTS = [
    "The Eiffel Tower in Paris was finished in 1889 and is made of iron.",
    "Penguins are birds of the southern seas that cannot fly.",
    "Beethoven wrote nine symphonies and lost his hearing.",
    "Photosynthesis turns sunlight, water and carbon dioxide into sugar.",
]
QUESTIONS = ["Who composed symphonies although he was deaf?", "When was the tower in Paris built?"]


def make_corpus(folder, texts):
    source = folder / "texts.jsonl.zst"
    write_documents(source, (Document(f"page/{n}#0", text, "test", "none") for n, text in enumerate(texts)))
    train_tokenizer([source], folder / "tokenizer", vocabulary=320)
    tokenize([source], folder / "tokenizer", folder / "corpus")
    return folder / "corpus"


@pytest.fixture(scope="module")
def found_in(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    corpus = make_corpus(folder, TEXTS)
    embed(corpus, folder / "vectors")
    return Retrieval(corpus=corpus, vectors=folder / "vectors", top_k=2, passage_tokens=12)


def test_each_question_gets_the_documents_that_are_about_it(found_in):
    first, second = retrieve(QUESTIONS, found_in)
    assert (first.names[0], second.names[0]) == ("page/2#0", "page/0#0")
    assert len(first.names) == 2
    assert first.similarities[0] > first.similarities[1]


def test_documents_are_cut_to_their_beginning(found_in):
    tokenizer = Tokenizer.load(found_in.corpus)
    (passages,) = retrieve(QUESTIONS[1:], found_in)
    assert len(passages.tokens[0]) == 12
    assert TEXTS[0].startswith(tokenizer.decode(passages.tokens[0]).strip())


def test_vectors_of_another_corpus_are_refused(found_in, tmp_path):
    other = make_corpus(tmp_path, TEXTS[:2])
    with pytest.raises(InputError, match="vectors of another corpus"):
        retrieve(QUESTIONS, Retrieval(corpus=other, vectors=found_in.vectors))


def test_the_nearest_are_the_same_in_one_block_as_in_many(tmp_path, monkeypatch):
    random = np.random.default_rng(1)
    rows = unit(random.normal(size=(50, 8)))
    np.save(tmp_path / "vectors.npy", rows.astype(np.float16))
    queries = unit(random.normal(size=(5, 8)))
    vectors = Vectors(tmp_path)
    expected = np.argsort(-(queries @ vectors.rows(0, 50).T), axis=1)[:, :4]
    whole, _ = nearest(queries, vectors, 4)
    monkeypatch.setattr(retrieval, "BLOCK", 7)
    parts, similarities = nearest(queries, vectors, 4)
    assert whole.tolist() == parts.tolist() == expected.tolist()
    assert (np.diff(similarities, axis=1) <= 0).all()


@pytest.mark.parametrize("room", [1000, 20, 5, 0])
def test_the_farthest_documents_are_cut_first_until_the_prompt_fits(found_in, room):
    tokenizer = Tokenizer.load(found_in.corpus)
    near = tuple(tuple(ids[:10]) for ids in tokenizer.encode(TEXTS[:3]))
    passages = Passages(("a", "b", "c"), near, (0.9, 0.8, 0.7))
    prompt, text = fitted(
        passages,
        tokenizer,
        lambda documents: f"<{documents}>",
        lambda prompt: len(tokenizer.encode([prompt])[0]) - room,
    )
    assert prompt == f"<{text}>"
    whole = "\n\n".join(tokenizer.decode(ids).strip() for ids in near)
    assert whole.startswith(text)
    assert (text == whole) == (room == 1000)
    assert not text or len(tokenizer.encode([prompt])[0]) <= room


def test_an_answer_stands_in_documents_as_whole_words_only():
    assert stands_in("It was the Eiffel Tower, in Paris.", ["eiffel tower"], "squad")
    assert not stands_in("a towering success", ["tower"], "squad")
    assert not stands_in("anything", ["the"], "squad")
