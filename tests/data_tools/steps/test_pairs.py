"""Pairs are those that the rules leave, one by one; whoever makes them, and however often it is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.verify import verify
from data_tools.errors import InputError
from data_tools.steps import candidates, normalised
from data_tools.steps.pairs import pairs
from data_tools.text.shingles import normalised as normal_text
from data_tools.text.tokenizer import Tokenizer
from data_tools.workers import OthersAtWork, Team, team
from tests.data_tools.steps.corpora import WORDS, corpus_of, neighbors_of, tokenizer
from tests.support import make_corpus

ROOT = Path(__file__).parents[3]
COUNT, K = 700, 6


def made(folder, count=COUNT, seed=4):
    """Random documents, some with stretches of others in them; random neighbours, a few themselves, many missing."""
    chance = np.random.default_rng(seed)
    texts = [[str(word) for word in chance.choice(WORDS, chance.integers(1, 30))] for _ in range(count)]
    for number in chance.choice(count, count // 2, replace=False):
        taken = texts[chance.integers(count)][: chance.integers(1, 20)]
        texts[number] = texts[number][:4] + taken + texts[number][4:]
    for number in range(0, count - 1, 14):  # near-duplicates, some by 13 tokens and some by fewer
        texts[number + 1] = texts[number + 1][:4] + texts[number][: 3 + number % 9]
    texts = [" ".join(words).capitalize() + ". " + str(number) for number, words in enumerate(texts)]
    texts[3], texts[9] = "", "1234 ...!"
    rows = []
    for _ in range(count):
        near = chance.choice(count, chance.integers(0, K + 1), replace=False).tolist()
        falling = np.sort(chance.random(len(near)).astype(np.float32))[::-1].tolist()
        rows.append(list(zip(near, falling, strict=True)))
    for number in range(0, count, 7):  # neighbours of each other, and in text too
        rows[number] = [(number, 1.0), (min(number + 1, count - 1), 0.9)]
        rows[min(number + 1, count - 1)] = [(number, 0.91)]
    return corpus_of(texts, folder / "corpus"), neighbors_of(rows, K, folder / "neighbors"), rows


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return made(tmp_path_factory.mktemp("pairs"))


def expected(corpus, rows, *, min_similarity, shingle, max_tokens, max_per_document, both_directions):
    """The same by plain Python: pairs and counts."""
    loaded, read = Tokenizer.load(corpus), IndexedCorpus(corpus / CORPUS_PREFIX)
    ids = [loaded.encode([normal_text(loaded.decode(read.document(n)[:-1]))])[0] for n in range(len(read))]
    runs = [{tuple(tokens[i : i + shingle]) for i in range(len(tokens) - shingle + 1)} for tokens in ids]
    alike = {(d1, d2) for d1, row in enumerate(rows) for d2, similarity in row if similarity > min_similarity}
    found, counts = [], dict.fromkeys(candidates.COUNTED, 0)
    for d1, row in enumerate(rows):
        kept = 0
        for d2, similarity in row:
            if d1 == d2:
                reason = "dropped_self"
            elif (d1, d2) not in alike:
                reason = "dropped_similarity"
            elif len(read.document(d1)) + len(read.document(d2)) > max_tokens:
                reason = "dropped_too_long"
            elif not both_directions and d1 > d2 and (d2, d1) in alike:
                reason = "dropped_other_direction"
            elif runs[d1] & runs[d2]:
                reason = "dropped_near_duplicate"
            elif kept == max_per_document:
                reason = "dropped_over_cap"
            else:
                reason, kept = "pairs", kept + 1
                found.append((d1, d2, np.float32(similarity)))
            counts["candidates"] += 1
            counts[reason] += 1
    return found, {"documents": len(read)} | counts


@pytest.mark.parametrize(
    "settings",
    [
        {"min_similarity": 0.2, "shingle": 13, "max_tokens": 8192, "max_per_document": None, "both_directions": True},
        {"min_similarity": 0.2, "shingle": 8, "max_tokens": 80, "max_per_document": 2, "both_directions": False},
        {"min_similarity": -1.0, "shingle": 1, "max_tokens": 8192, "max_per_document": 1, "both_directions": True},
        {"min_similarity": 0.5, "shingle": 13, "max_tokens": 8192, "max_per_document": None, "both_directions": False},
    ],
    ids=["paper", "everything", "single words", "one direction"],
)
def test_pairs_and_counts_are_those_that_plain_python_finds(given, tmp_path, settings):
    corpus, neighbors, rows = given
    manifest = pairs(corpus, neighbors, tmp_path / "pairs", **settings)
    found, counts = expected(corpus, rows, **settings)
    assert np.load(tmp_path / "pairs" / "pairs.npy").tolist() == found
    assert manifest.counts == counts
    assert counts["dropped_near_duplicate"]
    assert counts["candidates"] == sum(n for name, n in counts.items() if name not in ("candidates", "documents"))
    assert sorted(path.name for path in (tmp_path / "pairs").iterdir()) == ["manifest.json", "pairs.npy"]


def test_the_bytes_are_the_same_for_any_number_of_workers_and_any_size_of_block(given, tmp_path, monkeypatch):
    corpus, neighbors, _ = given
    for name, workers in (("one", 1), ("two", 2)):
        with team(workers) as crew:
            pairs(corpus, neighbors, tmp_path / name, min_similarity=0.2, both_directions=False, crew=crew)
    monkeypatch.setattr(candidates, "CANDIDATES_AT_ONCE", 7)
    monkeypatch.setattr(normalised, "COMPARED_AT_ONCE", 50)
    monkeypatch.setattr(normalised, "LEAST_IN_A_SHARD", 5)
    pairs(corpus, neighbors, tmp_path / "small", min_similarity=0.2, both_directions=False)
    for name in ("two", "small"):
        assert (tmp_path / name / "pairs.npy").read_bytes() == (tmp_path / "one" / "pairs.npy").read_bytes()


def test_tasks_of_an_array_share_both_rounds_and_one_makes_the_output(given, tmp_path):
    corpus, neighbors, _ = given
    pairs(corpus, neighbors, tmp_path / "alone", min_similarity=0.2)
    done = []
    for task in (0, 1, 0, 1):  # a round each, and the array submitted twice
        try:
            done.append(pairs(corpus, neighbors, tmp_path / "p", min_similarity=0.2, crew=Team(task=task, tasks=2)))
        except OthersAtWork:
            continue
    assert done
    assert (tmp_path / "p" / "pairs.npy").read_bytes() == (tmp_path / "alone" / "pairs.npy").read_bytes()


def test_a_command_that_is_killed_goes_on_and_ends_with_the_same_bytes(given, tmp_path):
    corpus, neighbors, _ = given
    pairs(corpus, neighbors, tmp_path / "whole", min_similarity=0.2)
    program = [sys.executable, "-c", PROGRAM, str(corpus), str(neighbors), str(tmp_path / "killed")]
    for shard in (5, 15, 0):  # each time so many after the last; 16 in each round
        done = subprocess.run([*program, str(shard)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
        assert done.returncode == (-signal.SIGKILL if shard else 0)
        assert (tmp_path / "killed").exists() != bool(shard)
    assert (tmp_path / "killed" / "pairs.npy").read_bytes() == (tmp_path / "whole" / "pairs.npy").read_bytes()


PROGRAM = """
import os, signal, sys
from pathlib import Path
from data_tools.steps import normalised, pairs
from data_tools.workers import team

normalised.LEAST_IN_A_SHARD = pairs.LEAST_CANDIDATES = 1
normalised.SHARDS_WANTED = pairs.SHARDS_WANTED = 16
calls = []

def progress(done, total):
    calls.append(done)
    if len(calls) == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

with team(2) as crew:
    pairs.pairs(*map(Path, sys.argv[1:4]), min_similarity=0.2, crew=crew, progress=progress)
"""


def test_the_tokenizer_of_the_shingles_is_the_corpuss_own_or_the_one_named(given, tmp_path):
    corpus, neighbors, _ = given
    own = pairs(corpus, neighbors, tmp_path / "own", min_similarity=0.2)
    named = pairs(corpus, neighbors, tmp_path / "named", min_similarity=0.2, shingle_tokenizer=tokenizer(300))
    for made, at in ((own, corpus), (named, tokenizer(300))):
        assert made.settings["shingle_tokenizer"] == {"file": "tokenizer.model", "hash": Tokenizer.load(at).hash}
    assert own.counts["dropped_near_duplicate"] != named.counts["dropped_near_duplicate"]


def test_no_pair_left_is_an_error_that_says_what_was_dropped(given, tmp_path):
    corpus, neighbors, _ = given
    with pytest.raises(InputError, match="'dropped_similarity': "):
        pairs(corpus, neighbors, tmp_path / "p", min_similarity=1.0)
    assert not (tmp_path / "p").exists()


def test_neighbours_of_another_corpus_are_refused(given, tmp_path):
    corpus = given[0]
    few = neighbors_of([[(1, 0.9)], [(0, 0.9)]], 1, tmp_path / "few")
    with pytest.raises(InputError, match=rf"neighbours of the {COUNT} documents"):
        pairs(corpus, few, tmp_path / "p")
    foreign = neighbors_of([[(1, 0.9)]] * COUNT, 1, tmp_path / "foreign", corpus="0123")
    with pytest.raises(InputError, match="neighbours of a corpus with fingerprint 0123"):
        pairs(corpus, foreign, tmp_path / "p")
    beyond = neighbors_of([[(0, 0.9)]] * (COUNT - 1) + [[(COUNT, 0.9)]], 1, tmp_path / "beyond")
    with pytest.raises(InputError, match=rf"row {COUNT - 1}: found document {COUNT}"):
        pairs(corpus, beyond, tmp_path / "p")


def test_pairs_that_are_written_out_are_documents_with_a_mask_over_d2_and_its_end(tmp_path):
    corpus = make_corpus(tmp_path, documents=9)
    neighbors = neighbors_of([[((number + 1) % 9, 0.9)] for number in range(9)], 1, tmp_path / "near")
    counts = pairs(corpus, neighbors, tmp_path / "p", min_similarity=0.2, shingle=99, materialize=True).counts
    real, written = IndexedCorpus(corpus / CORPUS_PREFIX), IndexedCorpus(tmp_path / "p" / CORPUS_PREFIX)
    mask = np.fromfile(tmp_path / "p" / "corpus.loss_mask.bin", dtype=np.uint8)
    rows = np.load(tmp_path / "p" / "pairs.npy")
    assert counts["written_documents"] == len(written) == len(rows)
    place = 0
    for number, row in enumerate(rows):
        d1, d2 = (real.document(int(row[name])) for name in ("d1", "d2"))
        assert written.document(number).tolist() == [*d1, *d2]
        assert mask[place : place + len(d1) + len(d2)].tolist() == [0] * len(d1) + [1] * len(d2)
        place += len(d1) + len(d2)
    assert place == len(mask)
    verify(tmp_path / "p")
