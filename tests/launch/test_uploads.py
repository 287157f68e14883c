"""What `sync` uploads, and when. W&B's own command does it; what reaches a server is told in test_wandb_server.py."""

import json
import os
from pathlib import Path

import pytest
import typer

from launch.uploads import parts_of, upload
from megatron_ext.cli.sync_commands import sync
from tests.launch.test_status import write


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "plan.json").write_text(json.dumps({"budget": {"steps": 100, "tokens": 12800}}))
    return folder


def part(run: Path, at: str, *, uploaded: bool = False) -> Path:
    """A part as W&B lays it out; an empty one: what is tested here is which are chosen."""
    folder = run / "wandb" / f"offline-run-20261121_{at}-abcd1234"
    folder.mkdir(parents=True)
    file = folder / "run-abcd1234.wandb"
    file.touch()
    if uploaded:
        (folder / "run-abcd1234.wandb.synced").touch()
    return file


def test_parts_are_told_oldest_first_and_the_link_to_the_newest_is_not_one_more(run):
    second, first = part(run, "120000"), part(run, "110000")
    (run / "wandb" / "latest-run").symlink_to(second.parent)
    assert parts_of(run) == [first, second]


def test_what_is_uploaded_already_is_passed_over_and_what_a_live_run_writes_is_left(run):
    old, new = part(run, "110000", uploaded=True), part(run, "120000")
    write(run, first=0, last=3)
    found = upload(run)
    assert (found.before, found.being_written) == ([str(old.parent)], [str(new.parent)])
    assert found.uploaded == found.failed == []


def test_a_part_that_has_grown_since_it_was_uploaded_is_tried_again_and_a_failure_ends_with_status_1(
    run, monkeypatch, capfd
):
    grown = part(run, "110000", uploaded=True)
    marker = grown.with_name(grown.name + ".synced")
    os.utime(marker, (1, 1))
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody is there to take it
    with pytest.raises(typer.Exit) as ended:
        sync(run)
    assert ended.value.exit_code == 1
    assert "1 failed: call this again" in capfd.readouterr().out
    assert not marker.exists()


def test_what_was_done_is_told_run_by_run_to_people_and_to_programs(run, capsys):
    old = part(run, "110000", uploaded=True)
    sync(run.parent)
    assert capsys.readouterr().out == f"{run}: 0 parts uploaded, 1 before\n"
    sync(run.parent, as_json=True)
    [told] = json.loads(capsys.readouterr().out)
    assert told["before"] == [str(old.parent)]
