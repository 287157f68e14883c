"""What reaches a server that speaks W&B's protocol: of runs that are online, and of those that are uploaded later.

The server is `openwandb`, if there is one on the PATH: it takes what W&B's own client sends, and keeps it in SQLite.
Its licence (CC-BY-NC) makes it a tool for this test and nothing that we could ship or ask for.
"""

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import closing, suppress
from pathlib import Path

import pytest

from data_tools.processes import die_with_parent
from launch.uploads import upload
from megatron_ext.training.tracking import WANDB_ID
from tests.megatron_ext.training.test_tracking import events_of, go_on, start, until, wandb_files, wandb_history

pytestmark = pytest.mark.slow

KEY = "local0000000000000000000000000000000000000000"
"""Of the server's first user."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The folder of a server; W&B's client finds it by the environment."""
    program = shutil.which("openwandb")
    if program is None:
        pytest.skip("no openwandb here: `pipx install openwandb`")
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "serve", "--host", "127.0.0.1", "--port", str(port), "--data-dir", str(folder)]
    with (folder / "log").open("wb") as log, pytest.MonkeyPatch.context() as patch:
        process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent)
        url = f"http://127.0.0.1:{port}"
        try:
            until(lambda: answers(url))
            patch.setenv("WANDB_BASE_URL", url)
            patch.setenv("WANDB_API_KEY", KEY)
            yield folder
        finally:
            process.terminate()
            process.wait(30)


def answers(url):
    with suppress(OSError), urllib.request.urlopen(url, timeout=2) as reply:
        return reply.status == 200
    return False


def points(server, run):
    """The tokens of every point that the server has of a run, in the order of W&B's counter."""
    with closing(sqlite3.connect(server / "openwandb.db")) as database:
        found = database.execute(
            "select step, value from metrics where run_id = ? and key = 'tokens' order by step", (run,)
        )
        return [int(value) // 128 for _, value in found]


def alerts_in(folder):
    """Titles of the alerts that W&B's client was given."""
    found = []
    for path in sorted((folder / "wandb").glob("*run-*/run-*.wandb")):
        command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(path)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        records = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
        found += [record["alert"]["title"] for record in records if record.get("type") == "alert"]
    return found


def id_of(folder):
    return (folder / WANDB_ID).read_text().strip()


def test_an_online_run_that_is_killed_and_started_again_is_one_run_on_the_server(server, tmp_path):
    folder = tmp_path / "run"
    process = start(folder, "online", 1, 3)
    until(lambda: (folder / WANDB_ID).exists() and points(server, id_of(folder)) == [1, 2, 3])
    process.kill()
    process.wait()
    go_on(folder, start(folder, "online", 3, 4))
    until(lambda: len(points(server, id_of(folder))) >= 6)
    assert points(server, id_of(folder)) == [1, 2, 3, 3, 4, 5]
    assert alerts_in(folder) == ["run: stopped"], "this server takes none, which must do no harm"
    assert not [event for event in events_of(folder) if event["event"] in ("wandb_offline", "board_lost")]


def test_parts_that_were_logged_offline_are_uploaded_once_a_killed_one_too(server, tmp_path):
    folder = tmp_path / "run"
    process = start(folder, "offline", 1, 3)
    until(lambda: wandb_files(folder) and len(wandb_history(wandb_files(folder)[0])) == 3)
    process.kill()
    process.wait()
    go_on(folder, start(folder, "offline", 3, 4))
    assert len(upload(folder).uploaded) == 2
    assert points(server, id_of(folder)) == [1, 2, 3, 3, 4, 5]
    again = upload(folder)
    assert (again.uploaded, len(again.before)) == ([], 2)
    assert alerts_in(folder) == [], "an alert that arrives with an upload, days later, helps nobody"
    assert points(server, id_of(folder)) == [1, 2, 3, 3, 4, 5]
