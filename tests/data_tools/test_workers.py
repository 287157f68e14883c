"""Shards are done once, by whoever is free, and a worker's death costs only the shard that it was at."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

from data_tools.errors import InputError
from data_tools.workers import OthersAtWork, Team, WorkerDied, folder_of, run_shards, team
from tests.support import mpiexec

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from functools import partial
from pathlib import Path
from data_tools.workers import run_shards, team
from tests.data_tools.test_workers import slowly
with team(int(sys.argv[2])) as crew:
    counts = run_shards(partial(slowly, seconds=0.05), range(12), Path(sys.argv[1]), crew)
    print(sum(count["square"] for count in counts), crew.workers)
"""


def square(number, folder):
    (folder / "result.txt").write_text(str(number**2))
    return {"square": number**2, "process": os.getpid()}


def slowly(number, folder, seconds):
    time.sleep(seconds)
    return square(number, folder)


def refuse(number, folder):
    raise InputError(where=f"shard {number}", found="nothing", expected="something", fix="Give it something.")


def die_once(number, folder, marker):
    if number == 2 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(number, folder)


def die_always(number, folder):
    os.kill(os.getpid(), signal.SIGKILL)


def squares(counts):
    return [count["square"] for count in counts]


@pytest.fixture(autouse=True)
def _outside_slurm_and_mpi(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("SLURM_", "PMI_", "OMPI_", "MPI_"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("workers", [1, 3])
def test_counts_come_in_the_order_of_the_shards_whoever_did_them(workers, tmp_path):
    with team(workers) as crew:
        counts = run_shards(square, range(9), tmp_path, crew)
    assert squares(counts) == [number**2 for number in range(9)]
    assert (folder_of(tmp_path, 3) / "result.txt").read_text() == "9"
    assert (os.getpid() in {count["process"] for count in counts}) == (workers == 1)


def test_a_finished_shard_is_never_done_again(tmp_path):
    first = run_shards(square, range(4), tmp_path)
    (folder_of(tmp_path, 2) / "done.json").unlink()
    with team(2) as crew:
        second = run_shards(square, range(4), tmp_path, crew)
    again = [number for number in range(4) if first[number]["process"] != second[number]["process"]]
    assert again == [2]


def test_shards_that_are_parted_otherwise_are_all_done_again(tmp_path):
    run_shards(square, range(4), tmp_path)
    assert squares(run_shards(square, range(1, 4), tmp_path)) == [1, 4, 9]


def test_what_a_killed_worker_left_of_a_shard_is_removed(tmp_path):
    run_shards(square, range(1), tmp_path)
    (folder_of(tmp_path, 0) / "done.json").unlink()
    (folder_of(tmp_path, 0) / "half.bin").write_bytes(b"torn")
    run_shards(square, range(1), tmp_path)
    assert not (folder_of(tmp_path, 0) / "half.bin").exists()


def test_a_worker_that_is_killed_is_replaced_and_its_shard_done(tmp_path):
    with team(2) as crew:
        counts = run_shards(partial(die_once, marker=tmp_path / "died"), range(6), tmp_path / "scratch", crew)
    assert (tmp_path / "died").exists()
    assert squares(counts) == [number**2 for number in range(6)]


def test_workers_that_are_killed_again_and_again_end_the_step(tmp_path):
    with pytest.raises(WorkerDied, match="fewer --workers"), team(2) as crew:
        run_shards(die_always, range(4), tmp_path, crew)


def test_bad_input_that_a_worker_meets_is_told_as_if_met_here(tmp_path):
    with pytest.raises(InputError, match="shard [0-2]: found nothing"), team(2) as crew:
        run_shards(refuse, range(3), tmp_path, crew)


def test_the_last_task_of_an_array_makes_the_output(tmp_path):
    with pytest.raises(OthersAtWork, match="3 of 7 shards are left"):
        run_shards(square, range(7), tmp_path, Team(task=0, tasks=2))
    assert squares(run_shards(square, range(7), tmp_path, Team(task=1, tasks=2))) == [n**2 for n in range(7)]


def test_two_tasks_that_end_together_do_not_make_the_output_twice(tmp_path):
    run_shards(square, range(2), tmp_path)
    first, second = Team(task=0, tasks=2), Team(task=1, tasks=2)
    run_shards(square, range(2), tmp_path, first)
    with pytest.raises(OthersAtWork, match="another task makes the output"):
        run_shards(square, range(2), tmp_path, second)
    first.close()
    assert squares(run_shards(square, range(2), tmp_path, second)) == [0, 1]
    second.close()


def test_tasks_of_an_array_that_start_at_once_keep_what_the_others_have_finished(tmp_path):
    def task(number, scratch, start):
        start.wait()
        with suppress(OthersAtWork):
            run_shards(square, range(8), scratch, Team(task=number, tasks=8))

    with ThreadPoolExecutor(8) as threads:
        for attempt in range(10):
            scratch, start = tmp_path / str(attempt), Barrier(8)
            for done in [threads.submit(task, number, scratch, start) for number in range(8)]:
                done.result()
            assert all((folder_of(scratch, number) / "done.json").exists() for number in range(8))


def test_an_array_with_gaps_is_refused(monkeypatch):
    for name, value in (("ID", 4), ("MIN", 0), ("MAX", 4), ("COUNT", 3)):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    with pytest.raises(InputError, match="3 tasks numbered from 0 to 4"), team():
        pass


def test_processes_of_srun_that_cannot_see_each_other_are_refused(monkeypatch):
    pytest.importorskip("mpi4py")
    script = "from data_tools.workers import team\nwith team() as crew: print(crew.workers)"
    environment = {**os.environ, "SLURM_STEP_NUM_TASKS": "2"}
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "found a world of 1 processes, expected 2" in ended.stderr


def test_mpi_ranks_share_the_shards(tmp_path):
    command = [*mpiexec(3), sys.executable, "-c", PROGRAM, str(tmp_path), "1"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout.split() == [str(sum(n**2 for n in range(12))), "2"]
    processes = {json.loads(path.read_text())["process"] for path in tmp_path.rglob("done.json")}
    assert len(processes) == 2


def test_workers_end_when_the_process_that_started_them_is_killed(tmp_path):
    started = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path), "2"], cwd=ROOT)
    while len(list(tmp_path.rglob("done.json"))) < 3:
        time.sleep(0.01)
    started.kill()
    started.wait()
    time.sleep(0.3)
    done = len(list(tmp_path.rglob("done.json")))
    time.sleep(0.3)
    assert len(list(tmp_path.rglob("done.json"))) == done < 12
