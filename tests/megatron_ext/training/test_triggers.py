"""A person with no more than a shell asks a run for a checkpoint, or for its end, by a file in its folder."""

import json
import time

from megatron_ext.training.tracking import EVENTS
from tests.support import make_corpus, run_settings, start

PATIENCE = 180.0


def wait_for(process, run, event, count=1):
    deadline = time.monotonic() + PATIENCE
    while sum(f'"event": "{event}"' in line for line in lines(run)) < count:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lines(run):
    return (run / EVENTS).read_text().splitlines() if (run / EVENTS).exists() else []


def test_SAVE_gives_a_checkpoint_and_the_run_goes_on_and_STOP_gives_one_and_the_end(tmp_path):
    run = tmp_path / "run"
    process = start(run, run_settings(make_corpus(tmp_path), steps=100_000, checkpoint={"every": 100_000}))
    wait_for(process, run, "step", 3)
    (run / "SAVE").touch()
    wait_for(process, run, "checkpoint")
    assert not (run / "SAVE").exists()
    (run / "STOP").touch()
    printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, printed
    assert not (run / "STOP").exists()
    stopped = [event for event in map(json.loads, lines(run)) if event["event"] == "stopped"]
    assert [event["signal"] for event in stopped] == ["STOP"]
    assert (run / "checkpoints" / f"step_{stopped[0]['step']:08d}").is_dir()
