"""A real instruction model asked real questions: by heart, and with a document that has the answers.

Needs what `benchmarks/smollm.py` downloads.
"""

import json

import pytest

from benchmarks.smollm import smollm2
from data_tools.errors import InputError
from data_tools.lines import read_lines
from data_tools.recall.questions import Layout, read_set
from data_tools.recall.retrieval import Retrieval
from data_tools.recall.run import Asking, recall
from data_tools.steps.embed import embed
from data_tools.synthesis.engines.choice import EngineChoice
from tests.data_tools.recall.test_retrieval import make_corpus

pytestmark = pytest.mark.slow

KNOWN = [
    ("What is the capital of Italy?", "Rome"), ("What is the capital of Germany?", "Berlin"),
    ("What is the capital of France?", "Paris"), ("Which planet do we live on?", "Earth"),
]  # fmt: skip
INVENTED = [
    ("What is the capital of Vostmark?", "Ulverhaven"), ("What is the capital of Brennia?", "Castelune"),
    ("Which river flows through Ulverhaven?", "Sorrel"),
]  # fmt: skip
DOCUMENTS = [
    "Vostmark is a country in the north. The capital of Vostmark is Ulverhaven.",
    "Brennia is a small country of vineyards. The capital of Brennia is Castelune.",
    "The river Sorrel flows through Ulverhaven and into the sea.",
    "Vineyards need sun and patience.",
]


@pytest.fixture(scope="module")
def model():
    try:
        return smollm2()
    except InputError as error:
        pytest.skip(str(error))


def test_it_knows_capitals_but_invented_ones_only_with_their_documents_at_hand(model, tmp_path):
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in [*KNOWN, *INVENTED]))
    corpus = make_corpus(tmp_path, DOCUMENTS)
    embed(corpus, tmp_path / "vectors")
    made = recall(
        read_set(path, layout=Layout(), shots=2), tmp_path / "out", engine=EngineChoice(model=str(model)),
        asking=Asking(), ledger=tmp_path / "ledger",
        retrieval=Retrieval(corpus=corpus, vectors=tmp_path / "vectors", top_k=2),
    )  # fmt: skip
    rows = {row["question"]: row for row in read_lines(tmp_path / "out" / "answers.jsonl")}
    assert "Paris" in rows["What is the capital of France?"]["closed_book"]["said"]
    invented = [rows[question] for question, _ in INVENTED]
    assert not any(row["closed_book"]["exact_match"] for row in invented)
    assert all(row["rag"]["in_documents"] for row in invented)
    assert sum(row["rag"]["f1"] > 0 for row in invented) >= 2
    assert made.counts["rag"]["refused"] == 0
