"""The quality of a corpus as a whole: known faults are found and named, by any number of workers, killed or not."""

import json
from pathlib import Path

import pytest

from data_tools.corpus.manifest import read_manifest
from data_tools.corpus.verify import verify
from data_tools.errors import InputError
from data_tools.lines import read_lines
from data_tools.quality.measuring import Settings
from data_tools.quality.run import quality
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.workers import HERE, team
from tests.data_tools.quality.corpora import corpus_of, sentence
from tests.data_tools.synthesis.test_engine_server import Running
from tests.reciting_model import make_reciting_model

REAL = [sentence(number) for number in range(6)]
LOOP = sentence(20, 15)
MADE = [
    (sentence(10), 0),
    (f"{LOOP} {sentence(11, 4)} {LOOP}", 0),  # repeats itself
    (REAL[1].upper() + "!", 1),  # copies its source, and nothing but it
    (f"{sentence(1, 30)} {sentence(12, 15)}", 1),  # takes most of itself from its source
    (f"{sentence(13, 60)} {sentence(14, 1)}", 2),
    (f"{sentence(13, 60)} {sentence(15, 1)}", 3),  # nearly the one before
    (f"{sentence(16, 5)} {sentence(30, 14)} {sentence(17, 5)}", 4),  # holds a question of the benchmark
    (f"{sentence(40, 13)} {sentence(18, 20)}", 5),  # holds a part of what is held out
]
FLAGGED = {
    ("repetition", "page/1#0"), ("pair_copying_by_rule", "page/2#0"), ("mostly_copied", "page/2#0"),
    ("mostly_copied", "page/3#0"), ("benchmark_overlap", "page/6#0"), ("heldout_overlap", "page/7#0"),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A synthetic corpus in which every fault is known, and what it is held against."""
    folder = tmp_path_factory.mktemp("made")
    source = corpus_of(folder / "source", REAL)
    corpus = corpus_of(folder / "corpus", [text for text, _ in MADE], made_of=(source, [own for _, own in MADE]))
    heldout = corpus_of(folder / "heldout", [sentence(40), sentence(41)])
    benchmark = folder / "items.jsonl"
    rows = [{"question": sentence(30, 14), "choices": ["yes", "no"]}, {"question": "too short"}]
    benchmark.write_text("\n".join(map(json.dumps, rows)))
    return corpus, Settings(source=source, heldout=heldout, benchmarks=(benchmark,), shard=2)


def report_of(folder: Path) -> dict:
    return json.loads((folder / "quality.json").read_text())


def test_every_fault_is_found_counted_and_named_and_nothing_else(made, tmp_path):
    corpus, settings = made
    quality(corpus, tmp_path / "out", settings)
    found = {(row["measure"], row["document"]) for row in read_lines(tmp_path / "out" / "flagged.jsonl.zst")}
    assert found == FLAGGED
    report = report_of(tmp_path / "out")
    counts = {name: (row["count"], row["of"]) for name, row in report["measures"].items() if "count" in row}
    assert counts == {
        "repetition": (1, 8), "duplicate": (2, 8), "pair_copying_by_rule": (1, 8), "mostly_copied": (2, 8),
        "heldout_overlap": (1, 8), "benchmark_overlap": (1, 8),
    }  # fmt: skip
    assert [row["document"] for row in read_lines(tmp_path / "out" / "duplicates.jsonl.zst")] == ["page/5#0"]
    [item] = [row for row in read_lines(tmp_path / "out" / "overlaps.jsonl.zst") if row["item"] == "items.jsonl:1"]
    assert item["text"] == sentence(30, 14)
    assert [tuple(counts.values()) for counts in report["overlap"].values()] == [(2, 1, 0), (2, 1, 1)]
    assert (report["sources"]["sources"], report["sources"]["most"]) == (6, 2)
    assert report["measures"]["self_bleu"]["of"] == 4  # documents of the two sources that have two
    assert report["paper"]["repetition"] == {"SBP 200B": 0.043, "SBP 1T": 0.039, "real": 0.018}
    verify(tmp_path / "out")


def test_any_number_of_workers_writes_the_same(made, tmp_path):
    corpus, settings = made
    one = quality(corpus, tmp_path / "one", settings)
    with team(2) as crew:
        two = quality(corpus, tmp_path / "two", settings, crew=crew)
    assert one.outputs == two.outputs


def test_a_run_that_was_killed_goes_on_from_its_finished_shards(made, tmp_path):
    corpus, settings = made

    def kill(done: int, shards: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quality(corpus, tmp_path / "out", settings, progress=kill)
    seen = list[int]()
    again = quality(corpus, tmp_path / "out", settings, progress=lambda done, shards: seen.append(done))
    assert seen[0] == 3
    assert again.outputs == quality(corpus, tmp_path / "whole", settings).outputs


def test_a_real_corpus_needs_no_source_and_its_pages_are_its_sources(tmp_path):
    corpus = corpus_of(tmp_path / "real", REAL)
    manifest = quality(corpus, tmp_path / "out")
    assert manifest.counts["repetition"] == manifest.counts["duplicate"] == 0
    assert "pair_copying_by_rule" not in manifest.counts
    assert manifest.counts["self_bleu"] is None  # no page has two documents


def test_other_thresholds_change_the_verdict_and_measure_nothing_again(made, tmp_path):
    corpus, settings = made

    def refuse(done: int, shards: int) -> None:
        raise AssertionError("measured again")

    assert quality(corpus, tmp_path / "out", settings, thresholds={"repetition": 0.9}).counts["go"]
    before = report_of(tmp_path / "out")
    manifest = quality(corpus, tmp_path / "out", settings, thresholds={"repetition": 0.2}, progress=refuse)
    assert not manifest.counts["go"]
    after = report_of(tmp_path / "out")
    assert after["verdict"]["reasons"][0].startswith("repetition: 12.5% of 8")
    assert {**before, "verdict": None} == {**after, "verdict": None}
    verify(tmp_path / "out")


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """A judge that finds all documents wrong, whatever it is asked."""
    return str(make_reciting_model(tmp_path_factory.mktemp("judge") / "model", "I looked it up.\nVerdict: wrong"))


def test_a_local_judge_says_what_it_says_and_other_questions_are_left_unparsable(made, judge, tmp_path):
    corpus, settings = made
    settings = Settings(source=settings.source, judge=EngineChoice(model=judge), sample=5, shard=2)
    quality(corpus, tmp_path / "out", settings, thresholds={"non_factual": 0.5})
    report = report_of(tmp_path / "out")
    found = report["measures"]["non_factual"]
    assert (found["count"], found["of"], found["value"], found["high"]) == (5, 5, 1, 1)
    assert found["low"] == pytest.approx(0.5655, abs=1e-4)
    pairs = report["measures"]["pair_irrelevance"]
    assert (pairs["value"], pairs["verdicts"]["unparsable"]) == (None, 5)
    assert not report["verdict"]["go"]
    assert (report["judge"]["model"], report["judge"]["by"]) == ("model", "answer")
    assert "judged by" in (tmp_path / "out" / "quality.html").read_text()


def test_a_judge_that_writes_nothing_readable_can_still_be_asked_what_it_finds_likeliest(made, judge, tmp_path):
    corpus, settings = made
    settings = Settings(
        source=settings.source, judge=EngineChoice(model=judge), judge_by="likelihood", sample=5, shard=2
    )  # fmt: skip
    quality(corpus, tmp_path / "out", settings)
    report = report_of(tmp_path / "out")
    assert report["judge"]["by"] == "likelihood"
    for measure in ("non_factual", "pair_irrelevance", "pair_copying", "repetition_judged"):
        found = report["measures"][measure]
        assert (found["of"], found["verdicts"]["unparsable"]) == (5, 0)
    assert "likelihood" in (tmp_path / "out" / "quality.html").read_text()


def test_a_larger_sample_asks_only_for_the_rest(made, tmp_path):
    corpus, settings = made
    server = Running()
    try:
        url = f"http://127.0.0.1:{server.port}/good/v1"
        choice = EngineChoice(model="small", kind="server", url=url, concurrency=4)
        for sample in (3, 8):
            asked = Settings(source=settings.source, judge=choice, sample=sample)
            quality(corpus, tmp_path / f"out-{sample}", asked, ledger=tmp_path / "ledger")
        log = server.log()["asked"]
    finally:
        server.kill()
    assert len(log) == 8 * 4
    assert set(log.values()) == {1}
    assert report_of(tmp_path / "out-8")["measures"]["non_factual"]["verdicts"]["unparsable"] == 8


def test_what_cannot_be_measured_is_refused_before_anything_is_written(made, tmp_path):
    corpus, settings = made
    wrong = [
        (Settings(source=settings.heldout), None, "fingerprint"),
        (Settings(sample=0), None, "at least 1"),
        (Settings(benchmarks=(tmp_path / "gone.jsonl",)), None, "gone.jsonl"),
        (Settings(), {"non_factual": 0.1}, "--judge-model"),
    ]
    for unusable, thresholds, said in wrong:
        with pytest.raises(InputError, match=said):
            quality(corpus, tmp_path / "out", unusable, thresholds=thresholds, crew=HERE)
    assert not (tmp_path / "out").exists()


def test_the_manifest_says_what_was_asked_and_by_whom(made, judge, tmp_path):
    corpus, settings = made
    quality(corpus, tmp_path / "out", Settings(judge=EngineChoice(model=judge), sample=2))
    chosen = read_manifest(tmp_path / "out").settings["judge"]
    assert (chosen["name"], chosen["sample"]) == ("model", 2)
    assert "Verdict: unverifiable" in chosen["templates"]["non_factual"]
