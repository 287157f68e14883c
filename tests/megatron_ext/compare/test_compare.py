"""A whole comparison from its file: what is made, that it goes on where it was, and what it refuses."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_tools.corpus.views import View
from data_tools.errors import InputError
from megatron_ext.cli.main import main
from megatron_ext.compare.preparation import prepare, trained_corpora
from megatron_ext.compare.work import RunFailed, carry_out, missing, train
from megatron_ext.plan.samples import SamplePlan
from megatron_ext.sweep.tasks import task_of
from tests.megatron_ext.compare.support import STEP, comparison, settings
from tests.support import ROOT, make_corpus


@pytest.fixture
def made(place: Path, tmp_path: Path):
    """A comparison over the corpora of `place`, in a folder of its own."""

    def make(**changes: Any):
        for entry in place.iterdir():
            if not (tmp_path / entry.name).exists():
                (tmp_path / entry.name).symlink_to(entry)
        return comparison(tmp_path, **{"steps_per_epoch": int((place / "steps").read_text())} | changes)

    return make


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "megatron_ext", *arguments], cwd=ROOT, capture_output=True, text=True,
        timeout=500,
    )  # fmt: skip


def test_a_plan_is_printed_from_the_file_alone(tmp_path, capsys):
    comparison(tmp_path)
    words = ["compare", str(tmp_path / "comparison.yaml"), str(tmp_path / "out"), "--plan"]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["arms"]["stitched"]["steps"] == 40
    assert main(words) == 0
    assert "baseline@3" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_views_and_the_scans_subsets_are_made_and_every_run_can_be_planned(made):
    from megatron_ext.data.sources import open_sources

    found = made()
    prepare(found)
    assert View(found.view("baseline@3")).size == 3 * STEP
    for run in found.runs:
        sources = open_sources(run.config)
        plan = SamplePlan.of(run.config, {name: source.extent for name, source in sources.items()})
        assert plan.samples * 16 == run.config.tokens


def test_missing_runs_are_written_as_an_array_whose_tasks_name_them(made, tmp_path, capsys):
    found = made()
    words = ["compare", str(tmp_path / "comparison.yaml"), str(tmp_path / "out")]
    assert main([*words, "--array"]) == 0
    assert "its 7 runs" in capsys.readouterr().out
    *_, array, line = (tmp_path / "out" / "next.sbatch").read_text().splitlines()
    assert array == "#SBATCH --array=0-6"
    assert line.endswith(f'compare {words[1]} {words[2]} --task "$SLURM_ARRAY_TASK_ID"')
    assert [task_of(tmp_path / "out", task) for task in range(7)] == [run.name for run in found.runs]
    assert main([*words, "--task", "7"]) == 2


def test_a_scan_point_is_read_in_exactly_its_epochs(made):
    from megatron_ext.data.sources import open_sources

    found = made()
    prepare(found)
    _, run = found.scan[0]
    rows = open_sources(run.config)["real"].extent.rows
    assert run.config.samples == 2 * rows == 2 * 3 * 8


def test_steps_per_epoch_that_the_corpus_does_not_have_are_refused_with_the_right_number(made, place):
    right = int((place / "steps").read_text())
    with pytest.raises(InputError, match=f"found {right + 1}, expected {right}"):
        prepare(made(steps_per_epoch=right + 1))


@pytest.mark.parametrize("changes", [
    {"heldout": "corpus"}, {"long_documents": "corpus"},
    {"scan": {"corpus": "heldout", "points": [{"steps_per_epoch": 1, "epochs": 1}]}},
])  # fmt: skip
def test_a_held_out_page_in_a_stream_is_refused(made, changes):
    with pytest.raises(InputError, match="pages that are held out"):
        prepare(made(**changes))


def test_every_stream_is_searched_for_held_out_pages(made, tmp_path):
    found = made(scan={"corpus": "larger", "points": [{"steps_per_epoch": 1, "epochs": 1}]})
    assert {path.name for path in trained_corpora(found)} == {"corpus", "said", "thoughts", "larger"}


@pytest.mark.parametrize("key", ["heldout", "long_documents"])
def test_a_corpus_with_another_tokenizer_is_refused(made, place, tmp_path, key):
    shutil.copytree(place / "heldout", tmp_path / "other")
    manifest = json.loads((tmp_path / "other" / "manifest.json").read_text())
    manifest["settings"]["tokenizer"] = "0" * 32
    (tmp_path / "other" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="found another tokenizer"):
        prepare(made(**{key: "other"}))


def test_held_out_documents_too_short_for_the_loss_by_position_are_refused(made):
    long = {"sequence_length": 256, "global_batch": 1, "micro_batch": 1}
    tokens = made().config.steps_per_epoch * 128 // 256
    scan = {"points": [{"steps_per_epoch": 1, "epochs": 1}]}
    with pytest.raises(InputError, match="which fill a row"):
        prepare(made(long_documents="heldout", batch=long, steps_per_epoch=tokens, scan=scan))


def test_a_folder_with_a_run_of_other_settings_is_refused_before_anything_is_trained(made):
    found = made()
    run = next(found.runs)
    folder = found.run(run)
    folder.mkdir(parents=True)
    from megatron_ext.config import as_dict

    other = as_dict(run.config)
    other["schedule"]["peak_lr"] = 0.5
    other["batch"]["micro_batch"] = 1
    (folder / "config.json").write_text(json.dumps(other))
    with pytest.raises(InputError, match="a run of other settings: schedule"):
        carry_out(found, lambda *_: pytest.fail("something was started"))
    other["schedule"]["peak_lr"] = run.config.schedule.peak_lr
    (folder / "config.json").write_text(json.dumps(other))
    assert len(missing(found)) == len(list(found.runs))


@pytest.mark.parametrize("status", [0, -15, 143, 130])
def test_a_run_that_was_stopped_ends_the_comparison_and_says_that_it_goes_on(made, status):
    """0: it has saved, and is not finished."""
    found = made()
    with pytest.raises(RunFailed, match="goes on from its checkpoint"):
        train(found, next(found.runs), lambda *_: status)


@pytest.mark.slow
def test_a_comparison_runs_from_its_file_to_its_page_and_goes_on_where_it_was(place):
    steps = int((place / "steps").read_text())
    file = place / "whole.yaml"
    settled = settings(steps_per_epoch=steps, long_documents="heldout") | {
        "schedule": {"peak_lr": 0.003, "end_lr": 0.0}
    }
    file.write_text(yaml.safe_dump(settled, sort_keys=False))
    words = ("compare", str(file), str(place / "out"))
    array = command(*words, "--array")
    assert array.returncode == 0, array.stderr
    assert "--array=0-6" in (place / "out" / "next.sbatch").read_text()
    task = command(*words, "--task", "3")
    assert task.returncode == 0, task.stderr
    assert (place / "out" / "runs" / "baseline@3" / "1234" / "results.json").exists()
    done = command(*words, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads((place / "out" / "comparison.json").read_text())
    assert found["missing"] == []
    assert found["arms"]["stitched"]["steps"] == steps * 2 * 2
    assert len(found["arms"]["stitched"]["losses"]) == len(found["ensembles"]["stitched"]["losses"]) == 2
    assert found["ensembles"]["stitched"]["losses"][0] == pytest.approx(
        found["arms"]["stitched"]["losses"]["1234"], rel=1e-5
    )
    assert [point["steps_per_epoch"] for point in found["scan"]["points"]] == [3, 6, steps]
    assert found["arms"]["latent"]["by_position"][0]["from"] == 0
    page = (place / "out" / "comparison.html").read_text()
    assert all(name in page for name in found["arms"])
    again = command(*words, "--json")
    assert json.loads(again.stdout) == found
    assert "training" not in again.stderr


def test_the_corpus_of_a_test_is_apart_from_what_it_holds_out(place, tmp_path):
    from data_tools.corpus.apart import require_apart

    require_apart(place / "heldout", [place / "corpus", place / "said", place / "thoughts"])
    with pytest.raises(InputError, match="held out"):
        require_apart(make_corpus(tmp_path, documents=1), [place / "said"])


@pytest.mark.slow
def test_a_comparison_that_is_told_to_stop_saves_the_run_that_it_trains_and_goes_on_there(made, tmp_path):
    arms = {"baseline": {"epochs": 400}}
    made(arms=arms, views={}, scan=None, ensembles=None)
    words = [sys.executable, "-m", "megatron_ext", "compare", str(tmp_path / "comparison.yaml"), str(tmp_path / "out")]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    events = tmp_path / "out" / "runs" / "baseline" / "1234" / "events.jsonl"
    deadline = time.monotonic() + 200
    while not (events.exists() and '"step": 20,' in events.read_text()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "goes on from its checkpoint" in printed
    assert any((events.parent / "checkpoints").glob("step_*"))
