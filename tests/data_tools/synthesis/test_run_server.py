"""Synthesis through a server that fails in every way: no request lost, none doubled, and the end says what happened."""

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from data_tools.errors import EndedEarly
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.engines.engine import EngineFailed
from data_tools.synthesis.filters import Filters
from data_tools.synthesis.recipe import Draft, Prompt, Seed, Steps
from data_tools.synthesis.requests import Sampling
from data_tools.synthesis.run import synthesize
from tests.data_tools.synthesis.test_engine_server import Running
from tests.support import make_corpus

DOCUMENTS = 40


@dataclass(frozen=True, kw_only=True)
class Row:
    """Asks about a seed by its number, so that a server can tell the prompts apart."""

    name: ClassVar[str] = "row"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "synthetic"
    draws: ClassVar[bool] = False
    prompt: Prompt = Prompt("$word $document")
    poisoned: int = -1
    """Seed whose prompt a picky server fails at."""

    def write(self, seed: Seed) -> Steps:
        word = "poison" if seed.number == self.poisoned else "row"
        (answer,) = yield [self.prompt.ask(Sampling(), document=str(seed.number), word=word)]
        return [Draft(text=answer.text)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("seeds"), documents=DOCUMENTS)


@pytest.fixture
def server():
    running = Running()
    yield running
    running.kill()


def run(corpus: Path, output: Path, server: Running, behaviour: str, *, poisoned: int = -1, patience: float = 30.0):
    url = f"http://127.0.0.1:{server.port}/{behaviour}/v1"
    engine = EngineChoice(model="small", kind="server", url=url, concurrency=4, timeout=2.0, patience=patience)
    return synthesize(
        corpus, output, recipe=Row(poisoned=poisoned), engine=engine, filters=Filters(apply=("empty",)),
        ledger=output.parent / "ledger",
    )  # fmt: skip


def answered(folder: Path) -> list[str]:
    """Prompts, by the answers in the ledger."""
    rows = [json.loads(line) for path in (folder / "ledger").glob("part-*.jsonl") for line in path.open()]
    assert len(rows) == len({row["id"] for row in rows})
    return sorted(row["text"].split("|")[0] for row in rows)


ALL = sorted(f"row {number}" for number in range(DOCUMENTS))


def test_a_server_that_fails_in_every_way_makes_the_same_corpus_as_a_good_one(corpus, tmp_path, server):
    manifest = run(corpus, tmp_path / "good", server, "good")
    (tmp_path / "ledger").rename(tmp_path / "good.ledger")
    assert run(corpus, tmp_path / "rough", server, "rough").outputs == manifest.outputs
    assert answered(tmp_path) == ALL
    assert manifest.counts["kept"] == manifest.counts["requests"] == DOCUMENTS


def test_a_server_that_is_killed_and_comes_back_costs_no_answer(corpus, tmp_path, server):
    def restart():
        while len(answered(tmp_path)) < 10:
            time.sleep(0.005)
        server.kill()
        time.sleep(0.5)
        server.start()

    beside = threading.Thread(target=restart)
    beside.start()
    manifest = run(corpus, tmp_path / "made", server, "good")
    beside.join()
    assert manifest.counts["kept"] == DOCUMENTS
    assert answered(tmp_path) == ALL
    assert sum(server.log()["asked"].values()) < DOCUMENTS  # the others were answered before it was killed


@pytest.mark.slow
def test_requests_that_are_given_up_are_named_and_asked_again_by_the_next_run(corpus, tmp_path, server):
    with pytest.raises(EndedEarly, match=r"^1 requests were given up .*run the\s+same command again"):
        run(corpus, tmp_path / "made", server, "picky", poisoned=7)
    assert answered(tmp_path) == sorted(set(ALL) - {"row 7"})
    manifest = run(corpus, tmp_path / "made", server, "good", poisoned=7)
    assert manifest.counts["kept"] == DOCUMENTS
    assert server.log()["asked"]["row 3"] == 1


def test_answers_of_another_model_are_not_taken_and_those_before_are_kept(corpus, tmp_path, server):
    with pytest.raises(EngineFailed, match="small"):
        run(corpus, tmp_path / "made", server, "other")
    before = answered(tmp_path)
    assert set(before) < set(ALL)
    run(corpus, tmp_path / "made", server, "good")
    assert answered(tmp_path) == ALL


def test_a_server_that_falls_silent_ends_the_run_and_the_next_one_asks_for_the_rest(corpus, tmp_path, server):
    with pytest.raises(EndedEarly, match="no answer for 3 s"):
        run(corpus, tmp_path / "made", server, "silent", patience=3.0)
    before = len(answered(tmp_path))
    assert before < DOCUMENTS
    run(corpus, tmp_path / "made", server, "good")
    assert answered(tmp_path) == ALL
