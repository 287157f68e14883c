"""A run that was killed, or asked to stop, goes on at the next sample, to the same losses bit for bit."""

import json
import os
import random
import shutil
import signal
import time

import pytest

from tests.support import losses, make_corpus, refusal, run_settings, start, train, train_by_command, wait_for_step

STEPS = 12


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    settings = run_settings(make_corpus(folder), steps=STEPS, checkpoint={"every": 3})
    return folder, settings, train(folder / "undisturbed", settings, processes=2)


def test_a_run_killed_with_sigkill_resumes_to_the_same_losses(undisturbed):
    folder, settings, expected = undisturbed
    run = folder / "killed"
    # Saved at once, so that it is known which checkpoint the run goes on from.
    settings = settings | {"checkpoint": {"every": 3, "asynchronous": False}}
    process = start(run, settings, processes=2)
    wait_for_step(run, process, 5)
    process.kill()
    process.wait()
    assert len(losses(run)) < STEPS, "the run ended before it was killed"
    assert train_by_command(run, settings, processes=2) == expected
    starts = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines() if '"start"' in line]
    assert starts[-1]["step"] >= 3


@pytest.mark.slow
def test_a_run_killed_five_times_at_random_moments_resumes_to_the_same_losses(undisturbed):
    """Four times somewhere, which may be in a start, in a step or between two; once while a checkpoint is written."""
    folder, settings, expected = undisturbed
    run, moments = folder / "killed five times", random.Random(5)
    for _ in range(4):
        process = start(run, settings, processes=2)
        time.sleep(moments.uniform(5.0, 16.0))
        assert process.poll() is None or len(losses(run)) == STEPS
        process.kill()
        process.wait()
    (run / "manifest.json").unlink(missing_ok=True)
    for newest in sorted((run / "checkpoints").glob("step_*"))[1:]:
        shutil.rmtree(newest)  # so that there is something left to be saved
    process = start(run, settings, processes=2)
    while not list((run / "checkpoints").glob("*.partial")):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert train_by_command(run, settings, processes=2) == expected


def test_a_run_asked_to_stop_saves_and_goes_on_at_the_next_sample(undisturbed):
    folder, settings, expected = undisturbed
    run = folder / "stopped"
    process = start(run, settings | {"checkpoint": {"every": 1000}}, processes=2)
    wait_for_step(run, process, 4)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=120)
    assert list((run / "checkpoints").glob("step_*")), "no checkpoint was written"
    assert not (run / "manifest.json").exists()
    assert train(run, settings | {"checkpoint": {"every": 1000}}, processes=2) == expected


def test_a_corpus_built_again_under_a_run_is_refused_though_its_size_is_the_same(tmp_path, capsys):
    corpus = make_corpus(tmp_path)
    train(tmp_path / "run", run_settings(corpus, steps=1))
    manifest = corpus / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"corpus.bin": "', '"corpus.bin": "f'))
    assert "the same inputs" in refusal(tmp_path / "run", run_settings(corpus, steps=1), capsys)
