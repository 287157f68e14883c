"""Synthesis from a corpus to a corpus, with a real model in real processes that are killed: nothing lost or doubled."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from data_tools.corpus.groups import KINDS, page_of, read_groups
from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import Manifest, read_manifest
from data_tools.corpus.names import Names
from data_tools.corpus.origins import read_origins
from data_tools.corpus.verify import verify
from data_tools.errors import EndedEarly, InputError
from data_tools.lines import read_lines
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.filters import Filters
from data_tools.synthesis.recipe import Draft, Prompt, Seed, Steps
from data_tools.synthesis.requests import Sampling
from data_tools.synthesis.run import synthesize
from data_tools.text.tokenizer import Tokenizer
from tests.support import make_corpus, mpiexec, small_disk

NO_FILTERS = Filters(apply=("empty",))
FEW = Sampling(temperature=1.0, top_p=0.9, max_tokens=8)


@dataclass(frozen=True, kw_only=True)
class TwoSteps:
    """Asks, asks again about each answer, and makes a document of both."""

    name: ClassVar[str] = "two-steps"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "synthetic"
    draws: ClassVar[bool] = False
    prompt: Prompt = Prompt("$document $more")
    sampling: Sampling = FEW

    def write(self, seed: Seed) -> Steps:
        first = yield [self.prompt.ask(self.sampling, index=i, document=seed.text, more="") for i in range(2)]
        second = yield [self.prompt.ask(self.sampling, document=seed.text, more=answer.text) for answer in first]
        return [Draft(text=f"{a.text} {b.text} of {seed.number}") for a, b in zip(first, second, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Continues drawn seeds."""

    name: ClassVar[str] = "drawn"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "synthetic"
    draws: ClassVar[bool] = True
    sampling: Sampling = FEW

    def write(self, seed: Seed) -> Steps:
        from data_tools.synthesis.requests import Ask

        (answer,) = yield [Ask(seed.ids, "", self.sampling)]
        return [Draft(text=answer.text, truncated=answer.finish == "length")]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("seeds"), documents=60)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> str:
    """A model with random weights, which writes nonsense, and reads no more than 128 tokens."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Qwen3Config(
        vocab_size=400, num_key_value_heads=2, head_dim=8, initializer_range=0.5, max_position_embeddings=128, **sizes
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    (folder / "tokenizer.model").write_bytes((corpus / "tokenizer.model").read_bytes())
    return str(folder)


def run(corpus: Path, output: Path, model: str, recipe: Any = TwoSteps(), **changes: Any) -> Manifest:
    settings = {"engine": EngineChoice(model=model, batch=8), "filters": NO_FILTERS} | changes
    return synthesize(corpus, output, recipe=recipe, **settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, corpus: Path, model: str) -> Path:
    """All documents, made without interruption by one process."""
    output = tmp_path_factory.mktemp("whole") / "made"
    run(corpus, output, model)
    return output


def made(folder: Path) -> dict[str, str]:
    """Hashes of what a run made of the answers."""
    return read_manifest(folder).outputs


def answers(ledger: Path) -> list[str]:
    return [row["id"] for path in sorted(ledger.glob("part-*.jsonl")) for row in map(json.loads, path.open())]


def texts(folder: Path) -> list[str]:
    tokenizer, corpus = Tokenizer.load(folder), IndexedCorpus(folder / CORPUS_PREFIX)
    return [tokenizer.decode(corpus.document(number)[:-1].tolist()) for number in range(len(corpus))]


def test_the_output_is_a_corpus_that_knows_what_each_document_was_made_of(whole: Path, corpus: Path) -> None:
    verify(whole)
    manifest, names = read_manifest(whole), list(Names(whole / CORPUS_PREFIX))
    origins, groups = read_origins(whole / CORPUS_PREFIX), read_groups(whole / CORPUS_PREFIX)
    assert manifest.counts["documents"] == manifest.counts["kept"] == len(names) == len(origins) == 120
    assert manifest.counts["requests"] == 240
    assert set(origins["document"].tolist()) == set(range(60))
    seeds = Names(corpus / CORPUS_PREFIX)
    for name, text, origin in zip(names, texts(whole), origins, strict=True):
        assert text.endswith(f"of {origin['document']}")
        assert page_of(name) == page_of(seeds[int(origin["document"])])
    assert set(groups["kind"].tolist()) == {KINDS["synthetic"]}
    assert set(groups["generator"].tolist()) == {1}
    assert manifest.settings["generator"]["name"]
    assert len(np.unique(groups["group"])) == 60


def test_each_request_is_answered_once(whole: Path) -> None:
    ids = answers(whole.with_name("made.ledger"))
    assert len(ids) == len(set(ids)) == 240


@pytest.mark.parametrize("batch", [3, 64])
def test_the_batch_changes_no_document(whole: Path, corpus: Path, model: str, tmp_path: Path, batch: int) -> None:
    run(corpus, tmp_path / "made", model, engine=EngineChoice(model=model, batch=batch))
    assert made(tmp_path / "made") == made(whole)


def test_other_filters_ask_for_nothing(whole: Path, corpus: Path, model: str, tmp_path: Path) -> None:
    ledger = whole.with_name("made.ledger")
    before = answers(ledger)
    manifest = run(corpus, tmp_path / "made", model, filters=Filters(fewest_words=7, apply=("short",)), ledger=ledger)
    assert answers(ledger) == before
    assert 0 < manifest.counts["dropped_short"] < 120
    assert manifest.counts["kept"] + manifest.counts["dropped_short"] == manifest.counts["drafts"] == 120
    dropped = list(read_lines(tmp_path / "made" / "dropped.jsonl.zst"))
    assert len(dropped) == manifest.counts["dropped_short"]
    assert {row["reason"] for row in dropped} == {"short"}


def test_more_documents_ask_only_for_what_is_missing(corpus: Path, model: str, tmp_path: Path, whole: Path) -> None:
    ledger = tmp_path / "ledger"
    run(corpus, tmp_path / "some", model, documents=20, ledger=ledger)
    some = answers(ledger)
    run(corpus, tmp_path / "all", model, ledger=ledger)
    assert len(some) == 80
    assert set(some) < set(answers(ledger))
    assert len(answers(ledger)) == 240
    assert sorted(texts(tmp_path / "all")) == sorted(texts(whole))


def test_a_lost_and_a_damaged_answer_are_asked_again(whole: Path, corpus: Path, model: str, tmp_path: Path) -> None:
    run(corpus, tmp_path / "one", model, ledger=tmp_path / "ledger")
    path = max((tmp_path / "ledger").glob("part-*.jsonl"), key=lambda part: part.stat().st_size)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0].replace(b'"text":"', b'"text":"?'), *lines[2:-1], lines[-1][:-9]]))
    run(corpus, tmp_path / "two", model, ledger=tmp_path / "ledger")
    assert made(tmp_path / "two") == made(whole)


@pytest.mark.parametrize("recipe", [TwoSteps(), Drawn()])
def test_a_budget_is_reached_and_passed_by_less_than_a_seed(
    corpus: Path, model: str, tmp_path: Path, recipe: Any
) -> None:
    manifest = run(corpus, tmp_path / "made", model, recipe, budget_tokens=600)
    parts = json.loads((tmp_path / "made.ledger" / "ledger.json").read_text())["parts"]
    lengths = IndexedCorpus(tmp_path / "made" / CORPUS_PREFIX).lengths
    assert 600 <= manifest.counts["tokens"] < 600 + parts * 2 * int(lengths.max())
    again = run(corpus, tmp_path / "again", model, recipe, budget_tokens=600, engine=EngineChoice(model=model, batch=2))
    assert again.outputs == manifest.outputs


def test_a_larger_budget_keeps_what_a_smaller_one_paid_for(corpus: Path, model: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    run(corpus, tmp_path / "small", model, Drawn(), budget_tokens=300, ledger=ledger)
    small = answers(ledger)
    run(corpus, tmp_path / "large", model, Drawn(), budget_tokens=900, ledger=ledger)
    assert set(small) < set(answers(ledger))
    assert len(answers(ledger)) == len(set(answers(ledger)))
    assert set(texts(tmp_path / "small")) <= set(texts(tmp_path / "large"))


def test_a_budget_beyond_all_documents_is_refused_with_what_they_brought(
    corpus: Path, model: str, tmp_path: Path, whole: Path
) -> None:
    with pytest.raises(InputError, match=r"brought [\d,]+ tokens.*\n.*--budget-tokens"):
        run(corpus, tmp_path / "made", model, budget_tokens=10**6, ledger=whole.with_name("made.ledger"))


def test_drawing_without_documents_and_without_a_budget_is_refused(corpus: Path, model: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither documents nor a budget"):
        run(corpus, tmp_path / "made", model, Drawn())


def test_a_budget_that_no_document_comes_nearer_ends_the_run(corpus: Path, model: str, tmp_path: Path) -> None:
    with pytest.raises(EndedEarly, match="kept no document"):
        run(corpus, tmp_path / "made", model, Drawn(), budget_tokens=600, filters=Filters(fewest_words=99))


def test_prompts_that_are_too_long_are_counted_and_are_no_documents(corpus: Path, model: str, tmp_path: Path) -> None:
    prompt = Prompt("$document " * 6 + "$more")
    with pytest.raises(InputError, match=r"120 drafts .* none that is kept \(dropped_short 120\)"):
        run(corpus, tmp_path / "made", model, TwoSteps(prompt=prompt), filters=Filters(apply=("empty", "short")))
    lines = [json.loads(line) for path in (tmp_path / "made.ledger").glob("part-*") for line in path.open()]
    assert {line["finish"] for line in lines} == {"refused"}


def test_a_full_disk_loses_no_answer(corpus: Path, model: str, tmp_path: Path, whole: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, kilobytes=64) as resize:
        with pytest.raises((EndedEarly, OSError), match="space"):
            run(corpus, disk / "made", model)
        before = answers_whole(disk / "made.ledger")
        assert before
        resize(8192)
        run(corpus, disk / "made", model)
        assert made(disk / "made") == made(whole)
        assert set(before) <= set(answers(disk / "made.ledger"))


def answers_whole(ledger: Path) -> list[str]:
    """Of a ledger whose last lines may be torn."""
    lines = [line for path in ledger.glob("part-*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]
    return [json.loads(line)["id"] for line in lines if line.endswith(b"\n")]


SCRIPT = """
import sys
from pathlib import Path
from data_tools.errors import EndedEarly
from data_tools.workers import team
from tests.data_tools.synthesis.test_run import run
corpus, output, model, workers = sys.argv[1:]
try:
    with team(int(workers)) as crew:
        run(Path(corpus), Path(output), model, crew=crew)
except EndedEarly as end:
    print(end, file=sys.stderr)
    sys.exit(end.status)
"""


def start(
    corpus: Path, output: Path, model: str, *, workers: int = 1, launcher: tuple[str, ...] = (), **variables: str
) -> subprocess.Popen[str]:
    command = [*launcher, sys.executable, "-c", SCRIPT, str(corpus), str(output), model, str(workers)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    return subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_workers_that_are_killed_at_random_moments_make_the_same_corpus(
    corpus: Path, model: str, tmp_path: Path, whole: Path
) -> None:
    output, ledger = tmp_path / "made", tmp_path / "made.ledger"
    chance = random.Random(7)
    for goal in sorted(chance.randrange(10, 200) for _ in range(2)):
        process = start(corpus, output, model, workers=2)
        while process.poll() is None and len(answers_whole(ledger)) < goal:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() != 0
        process.communicate()
    process = start(corpus, output, model, workers=2)
    assert (process.communicate()[1], process.returncode) == ("", 0)
    assert made(output) == made(whole)
    assert len(answers(ledger)) == len(set(answers(ledger))) == 240


@pytest.mark.slow
def test_ranks_of_mpi_make_the_same_corpus(corpus: Path, model: str, tmp_path: Path, whole: Path) -> None:
    process = start(corpus, tmp_path / "made", model, launcher=tuple(mpiexec(3)))
    assert (process.communicate()[1], process.returncode) == ("", 0)
    assert made(tmp_path / "made") == made(whole)


@pytest.mark.slow
def test_tasks_of_an_array_share_the_asking_and_the_last_makes_the_corpus(
    corpus: Path, model: str, tmp_path: Path, whole: Path
) -> None:
    array = {"SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "1"}
    first = start(corpus, tmp_path / "made", model, SLURM_ARRAY_TASK_ID="1", **array)
    assert "1 of 2 shards are left to other tasks" in first.communicate()[1]
    assert first.returncode == 0
    assert 0 < len(answers(tmp_path / "made.ledger")) < 240
    second = start(corpus, tmp_path / "made", model, SLURM_ARRAY_TASK_ID="0", **array)
    assert (second.communicate()[1], second.returncode) == ("", 0)
    assert made(tmp_path / "made") == made(whole)
