"""Slurm's own commands, and what they answer. What is refused by Slurm is told in its own words."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_tools.errors import InputError
from launch.attempts import jobs

PATIENCE = 60
"""Seconds; a controller under load takes some."""
UNKNOWN_JOB = "Invalid job id"


class NoAnswerError(InputError):
    """Slurm could not be asked, which says nothing about what was to be asked."""

    def __init__(self, found: str, *, fix: str = "Try again once `sinfo` answers."):
        super().__init__(where="Slurm", found=found, expected="an answer", fix=fix)
        self.found = found


@dataclass(frozen=True)
class Partition:
    """As `sinfo` tells it."""

    name: str
    nodes: int
    gpus_per_node: int
    seconds: float
    """Longest job; infinite without a limit."""


def ask(command: Sequence[str], *, gone: str | None = None, patience: float = PATIENCE) -> str:
    """What a command of Slurm's prints.

    Args:
        command: with its arguments.
        gone: words with which it may fail: what it was asked for is no longer there.
        patience: seconds to wait.

    Raises:
        NoAnswerError: there is no Slurm here, or it doesn't answer.
    """
    done = _run(command, patience=patience)
    if done.returncode and not (gone is not None and gone in done.stderr):
        raise NoAnswerError(done.stderr.strip() or f"{command[0]} ended with status {done.returncode}")
    return done.stdout


def partitions() -> dict[str, Partition]:
    """Name -> partition.

    Raises:
        NoAnswerError: as for `ask`.
    """
    found: dict[str, Partition] = {}
    for line in ask(["sinfo", "--noheader", "--format=%R|%D|%l|%G"]).splitlines():  # one a kind of node
        name, nodes, limit, resources = line.split("|", 3)
        before = found.get(name, Partition(name, 0, 0, seconds_of(limit)))
        gpus = max(before.gpus_per_node, gpus_of(resources))
        found[name] = Partition(name, before.nodes + int(nodes), gpus, before.seconds)
    return found


def states(ids: Sequence[str]) -> Mapping[str, str]:
    """Job -> its state (PENDING, RUNNING, ...), of those that Slurm still has in its queue; of an array, one task's.

    Raises:
        NoAnswerError: as for `ask`.
    """
    if not ids:
        return {}
    answer = ask(["squeue", "--noheader", f"--jobs={','.join(ids)}", "--format=%F|%T"], gone=UNKNOWN_JOB)
    return dict(line.split("|", 1) for line in answer.splitlines())


def require_free(run: Path, *, besides: str | None = None) -> None:
    """Refuse a run folder that a job uses, or will use.

    Args:
        run: run folder.
        besides: the job that asks, if it is one.

    Raises:
        InputError: it is used; the job is named.
        NoAnswerError: as for `ask`.
    """
    for job, state in states([job for job in jobs(run) if job != besides]).items():
        raise InputError(
            where=str(run), found=f"a run folder of job {job}, which is {state.lower()}",
            expected="a folder that no other job uses",
            fix=f"Wait for the job, or end it: `touch {run}/STOP` saves first, `scancel {job}` may not.",
        )  # fmt: skip


def expected_start(script: Path) -> str:
    """When Slurm thinks that a script would be started, and where; nothing is queued.

    Raises:
        InputError: Slurm would refuse the script.
    """
    said = _sbatch("--test-only", str(script)).splitlines()[-1].removeprefix("sbatch: ")
    return re.sub(r"^Job \d+ to start at ", "", said)  # the number is of a job that will never be


def submit(script: Path, options: Sequence[str] = ()) -> str:
    """Queue a script, with options besides its own; its job's id.

    Raises:
        InputError: Slurm refuses it.
    """
    return _sbatch("--parsable", *options, str(script)).splitlines()[-1].split(";")[0]


def seconds_of(limit: str) -> float:
    """Of a time limit as Slurm prints it: `30:00`, `1:00:00`, `2-00:00:00`, `infinite`."""
    if not limit[:1].isdigit():
        return float("inf")
    days, _, clock = limit.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    hours, minutes, seconds = [0] * (3 - len(parts)) + parts
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def gpus_of(resources: str) -> int:
    """GPUs in what Slurm prints of a node's: `gpu:8`, `gpu:h100:8(S:0-1)`, `(null)`."""
    counts = [part.split("(")[0].split(":")[-1] for part in resources.split(",") if part.startswith("gpu:")]
    return sum(int(count) for count in counts if count.isdigit())


def _sbatch(*arguments: str) -> str:
    done = _run(["sbatch", *arguments])
    said = (done.stdout + done.stderr).strip()
    if done.returncode:
        reason = "; ".join(line.removeprefix("sbatch: error: ") for line in said.splitlines()) or "nothing"
        raise InputError(
            where=arguments[-1], found=f"a refusal of sbatch: {reason}", expected="a script that Slurm takes",
            fix="Nothing was queued. Correct the cluster's file or --nodes; `sinfo` tells which nodes are up.",
        )  # fmt: skip
    return said


def _run(command: Sequence[str], *, patience: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
    except FileNotFoundError:
        raise NoAnswerError(
            f"no {command[0]} on this machine",
            fix="Launch on a login node of the cluster, or add --dry-run to see the script only.",
        ) from None
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"no answer of {command[0]} in {patience:.0f} s") from None
