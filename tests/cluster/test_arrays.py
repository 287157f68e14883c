"""Data work as a Slurm array: a member that was killed is run again alone, and the output is that of one process."""

import json
import os
import signal
import sys

import pytest

from data_tools.files import content_hash
from data_tools.steps.clean import clean
from tests.support import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

CLEAN = """\
import sys
from pathlib import Path

from data_tools.errors import EndedEarly
from data_tools.steps.clean import clean
from data_tools.workers import team

with team() as crew:
    try:
        clean([Path(sys.argv[1])], Path(sys.argv[2]), shard_bytes=2000, crew=crew)
    except EndedEarly as left:
        print(left)
"""
SCRIPT = """\
#!/bin/bash
echo started
echo $$ > {folder}/$SLURM_ARRAY_TASK_ID.pid
if [ "$SLURM_ARRAY_TASK_ID" = 1 ] && [ "${{SLURM_RESTART_COUNT:-0}}" = 0 ]; then exec sleep 600; fi  # to be killed
cd {root} && exec {python} {program} {documents} {output}
"""


def files_of(folder):
    return {path.name: content_hash(path) for path in folder.iterdir() if path.suffix == ".zst"}


def test_a_member_that_is_killed_is_run_again_alone_and_the_others_work_is_kept(slurm, tmp_path):
    documents, output, program = tmp_path / "raw.jsonl", tmp_path / "clean", tmp_path / "clean.py"
    lines = ({"id": str(i), "text": f"Document {i} says what the others don't: {i * i} and {i**3}."} for i in range(90))
    documents.write_text("".join(json.dumps(line) + "\n" for line in lines))
    program.write_text(CLEAN)
    script = tmp_path / "job.sh"
    script.write_text(SCRIPT.format(
        root=ROOT, folder=tmp_path, python=sys.executable, program=program, documents=documents, output=output,
    ))  # fmt: skip
    job = slurm.run(
        "sbatch", "--parsable", "--array=0-2", "--requeue", "--open-mode=append", f"--output={tmp_path}/%a.log",
        f"--export=ALL,PYTHONPATH={ROOT}", str(script),
    )  # fmt: skip
    for member in (0, 2):
        slurm.wait_until(lambda member=member: slurm.job_state(f"{job}_{member}") == "COMPLETED", f"{member}", 300)
    os.kill(int((tmp_path / "1.pid").read_text()), signal.SIGKILL)
    slurm.wait_until(lambda: slurm.job_state(f"{job}_1") == "FAILED", "the member to be lost")
    assert not output.exists()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("done.json")}
    assert kept
    slurm.run("scontrol", "requeue", f"{job}_1")
    slurm.wait_until(lambda: slurm.job_state(f"{job}_1") == "COMPLETED", "the member to be done", 300)
    assert [(tmp_path / f"{member}.log").read_text().count("started") for member in range(3)] == [1, 2, 1]
    clean([documents], tmp_path / "alone", shard_bytes=2000)
    assert files_of(output) == files_of(tmp_path / "alone")
    assert len(files_of(output)) > 2
