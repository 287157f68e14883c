"""Real runs that are killed while they save, find damage, change their layout, or run out of disk."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import MODEL, ROOT, losses, make_corpus, run_settings, start, train, train_by_command

pytestmark = pytest.mark.slow
STEPS = 8
LARGE = MODEL | {"layers": 4, "hidden": 256, "ffn": 1024, "vocabulary": 600}
"""Large enough that a checkpoint takes some time to write; its vocabulary is padded otherwise under tensor 2."""


def events(run, name):
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return [event for event in lines if event["event"] == name]


def checkpoints(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    settings = run_settings(make_corpus(folder), steps=STEPS, model=LARGE, checkpoint={"every": 2, "keep": 3})
    return folder, settings, train(folder / "undisturbed", settings, processes=2)


def test_a_run_notes_each_checkpoint_with_its_size_and_what_training_waited_for_it(undisturbed):
    folder, _, _ = undisturbed
    noted = events(folder / "undisturbed", "checkpoint")
    assert [event["step"] for event in noted] == [2, 4, 6, 8]
    assert all(event["seconds"] >= event["stall"] > 0 and event["bytes"] > 1_000_000 for event in noted)
    assert checkpoints(folder / "undisturbed") == ["step_00000004", "step_00000006", "step_00000008"]


def test_synchronous_saving_gives_the_same_losses_and_files_of_the_same_content(undisturbed):
    folder, settings, expected = undisturbed
    run = folder / "synchronous"
    settings = settings | {"checkpoint": settings["checkpoint"] | {"asynchronous": False}}
    assert train(run, settings, processes=2) == expected
    for name in checkpoints(run):
        shards = [
            (folder / which / "checkpoints" / name / "__1_0.distcp").read_bytes()
            for which in ("undisturbed", "synchronous")
        ]
        assert shards[0] == shards[1]


def test_a_run_killed_while_a_checkpoint_is_written_goes_on_to_the_same_losses(undisturbed):
    folder, settings, expected = undisturbed
    run = folder / "killed"
    process = start(run, settings, processes=2)
    wait_for(process, lambda: written(run, "step_00000004.partial"))
    process.kill()
    process.wait()
    assert "step_00000004" not in checkpoints(run), "the checkpoint was complete before the kill"
    wait_for(None, lambda: not processes_of(run))
    assert train_by_command(run, settings, processes=2) == expected
    assert events(run, "start")[-1]["step"] == 2
    assert checkpoints(run) == checkpoints(folder / "undisturbed")


def test_a_damaged_shard_is_named_and_the_checkpoint_before_it_taken(undisturbed):
    folder, settings, expected = undisturbed
    run = folder / "damaged"
    process = start(run, settings, processes=2)
    wait_for(process, lambda: (run / "checkpoints" / "step_00000004").exists())
    process.kill()
    process.wait()
    newest = max(name for name in checkpoints(run) if not name.endswith(".partial"))
    shard = run / "checkpoints" / newest / "__1_0.distcp"
    with shard.open("r+b") as file:
        file.seek(1000)
        file.write(bytes([file.read(1)[0] ^ 1]))
    assert train_by_command(run, settings, processes=2) == expected
    assert events(run, "damaged")[0]["problem"] == f"{newest}/__1_0.distcp was changed after it was written"
    assert events(run, "start")[-1]["step"] == int(newest[-8:]) - 2
    assert f"{newest}.unsound" in checkpoints(run)


def test_a_run_whose_checkpoints_are_all_damaged_is_refused_rather_than_begun_anew(undisturbed):
    folder, settings, _ = undisturbed
    run = folder / "ruined"
    train(run, run_settings(folder / "corpus", steps=2), processes=1)
    for path in (run / "checkpoints").rglob("*.distcp"):
        path.write_bytes(b"")
    process = start(run, run_settings(folder / "corpus", steps=4), processes=1)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "__0_0.distcp has 0 bytes" in printed
    assert "Traceback" not in printed


MOVES = [
    ({"tensor": 2}, {"pipeline": 2}),
    ({"tensor": 2}, {}),
    ({"pipeline": 2, "chunks": 2}, {"tensor": 2}),
]


@pytest.mark.parametrize(("before", "after"), MOVES, ids=str)
def test_a_run_goes_on_in_another_layout_to_the_same_losses(before, after, undisturbed):
    folder, settings, expected = undisturbed
    run = folder / "-".join(["moved", *before, "to", *after])
    process = start(run, settings | {"layout": before}, processes=2)
    wait_for(process, lambda: (run / "checkpoints" / "step_00000004").exists())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert len(losses(run)) < STEPS, "the run ended before it was stopped"
    assert train(run, settings | {"layout": after}, processes=2) == pytest.approx(expected, rel=1e-5)


def test_a_run_goes_on_when_a_checkpoint_fails_and_ends_with_an_error_when_its_last_one_does(undisturbed):
    folder, _, _ = undisturbed
    run = folder / "full"
    train(run, run_settings(folder / "corpus", steps=2), processes=2)
    longer = run_settings(folder / "corpus", steps=4, checkpoint={"every": 1})
    process = start_with_small_files(run, longer)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "File too large" in printed
    assert "Earlier checkpoints are intact" in printed
    assert "Traceback" not in printed
    assert len(events(run, "checkpoint_failed")) == 2
    assert len(losses(run)) == 4
    assert checkpoints(run) == ["step_00000002"]
    assert train(run, longer, processes=2)[-1] == losses(run)[-1]


def start_with_small_files(run, settings):
    """As tests.support.start, with files of at most 100 KB."""
    started = start(run, settings, processes=2)
    started.kill()
    started.wait()
    command = "ulimit -f 100; exec " + " ".join([sys.executable, *started.args[1:]])
    return subprocess.Popen(
        ["bash", "-c", command], cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def written(run, name):
    return any(path.stat().st_size for path in (run / "checkpoints" / name).glob("*.distcp"))


def processes_of(run):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if str(run) in command and path.parent.name != str(os.getpid()):
            found.append(path.parent.name)
    return found


def wait_for(process, reached):
    for _ in range(60_000):
        if reached():
            return
        assert process is None or process.poll() is None, process.stdout.read()
        time.sleep(0.002)
    raise AssertionError("it did not come to that")
