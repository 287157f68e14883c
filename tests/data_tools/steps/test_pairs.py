"""From documents to pairs with the real embedding model and the real index."""

import numpy as np
import pytest

from data_tools.corpus.names import Names
from data_tools.errors import InputError
from data_tools.steps.embed import embed
from data_tools.steps.neighbors import neighbors
from data_tools.steps.pairs import pairs
from data_tools.steps.tokenize import tokenize
from data_tools.text.readers import Document, write_documents
from data_tools.text.training import train_tokenizer

COPIED = "The vacuum command rebuilds the database file and packs it into as little disk space as it can."
TEXTS = {
    "vacuum": COPIED,
    "copy": COPIED + " It really does.",
    "vacuum-full": "VACUUM FULL rewrites the whole table into a new disk file and gives the space back to the system.",
    "bread": "Knead the dough until it is smooth, let it rise for an hour and bake it in a hot oven.",
    "cake": "Beat butter and sugar, fold in the flour and bake the cake in the oven until it is golden.",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    documents = [folder / "documents.jsonl.zst"]
    write_documents(documents[0], (Document(name, text, "test", "none") for name, text in TEXTS.items()))
    train_tokenizer(documents, folder / "tokenizer", vocabulary=320)
    tokenize(documents, folder / "tokenizer", folder / "corpus")
    embed(documents, folder / "vectors", batch=2)
    neighbors(folder / "vectors", folder / "neighbors", top_k=200)
    return folder, documents


def test_vectors_have_unit_length_and_the_order_of_the_documents(made):
    vectors = np.load(made[0] / "vectors" / "vectors.npy").astype(np.float32)
    assert vectors.shape[0] == len(TEXTS)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-3)


def test_a_document_is_never_its_own_neighbour_and_the_nearest_comes_first(made):
    ids = np.load(made[0] / "neighbors" / "ids.npy")
    similarities = np.load(made[0] / "neighbors" / "similarities.npy")
    assert ids.shape == (5, 4)
    assert all(number not in row for number, row in enumerate(ids))
    assert (np.diff(similarities, axis=1) <= 0).all()
    assert ids[0, 0] == 1


def test_related_documents_pair_and_near_duplicates_and_strangers_do_not(made, tmp_path):
    folder, documents = made
    manifest = pairs(
        documents, folder / "corpus", folder / "neighbors", tmp_path / "pairs", min_similarity=0.4, max_tokens=4096
    )
    names = list(Names(folder / "corpus" / "corpus"))
    found = {(names[row["d1"]], names[row["d2"]]) for row in np.load(tmp_path / "pairs" / "pairs.npy")}
    assert ("vacuum", "vacuum-full") in found
    assert ("bread", "cake") in found
    assert not {("vacuum", "copy"), ("copy", "vacuum"), ("vacuum", "bread")} & found
    counts = manifest.counts
    assert counts["dropped_near_duplicate"] == 2
    assert counts["candidates"] == sum(value for name, value in counts.items() if name != "candidates")


def test_no_pair_left_is_an_error_that_says_what_was_dropped(made, tmp_path):
    folder, documents = made
    with pytest.raises(InputError, match="min_similarity"):
        pairs(documents, folder / "corpus", folder / "neighbors", tmp_path / "p", min_similarity=0.99, max_tokens=9)
    assert not (tmp_path / "p").exists()


def test_an_embedding_model_that_is_not_there_is_named(made, tmp_path):
    with pytest.raises(InputError, match="no-such-model"):
        embed(made[1], tmp_path / "v", model=str(tmp_path / "no-such-model"))
