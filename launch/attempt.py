"""What a job's script asks before and after its ranks: may they start, and is the job to be queued again?

    python -m launch.attempt begin --run RUN --submission RUN/launch/0001 --most 3
    python -m launch.attempt end --run RUN --submission RUN/launch/0001 --most 3 --status STATUS_OF_SRUN

`begin` ends with 0 if the ranks may start. `end` ends with 0 if the run is done or was stopped by a person, with 75 if
the job is to be queued again, with another status if it is not. Whether a run is done or was told to save is read from
its folder: torchrun and srun make one status of those of many ranks, and end the others as soon as one is not 0, so
ranks that have saved end with 0.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from data_tools.errors import EXIT_BAD_INPUT, EXIT_FAILED, InputError
from data_tools.files import content_hash, write_whole
from launch.attempts import CRASH_LOOP, attempts, last_stop, newest_step, note, record_of
from launch.slurm import NoAnswerError, require_free

EXIT_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: not done, and the same command goes on from here."""
SCRIPT = "job.sh"
STOP = "STOP"


def begin(run: Path, submission: Path, job: str, *, most: int) -> int:
    """Note a start of the ranks, unless the folder is another job's, or this one was started too often for nothing.

    Raises:
        InputError: another live job uses the run folder.
    """
    with suppress(NoAnswerError):  # no reason to give up the nodes; in a container there may be no Slurm
        require_free(run, besides=job)
    if is_edited(submission):
        _say(f"{submission / SCRIPT} was edited after it was submitted. Slurm runs the copy that it took then.")
    if _refuse_loop(run, job, most):
        return EXIT_FAILED
    restart, nodes = int(os.environ.get("SLURM_RESTART_COUNT", "0")), os.environ.get("SLURM_JOB_NODELIST")
    note(run, "start", job=job, restart=restart, nodes=nodes, checkpoint=newest_step(run))
    return 0


def end(run: Path, submission: Path, job: str, *, most: int, status: int) -> int:
    """Note how the ranks ended, and say with the status what is to become of the job."""
    outcome, answer = outcome_of(run, status)
    note(run, "end", job=job, status=status, outcome=outcome, checkpoint=newest_step(run))
    _say(f"{run}: {outcome}.")
    if answer == EXIT_AGAIN and _refuse_loop(run, job, most):
        return EXIT_FAILED
    return answer


def outcome_of(run: Path, status: int) -> tuple[str, int]:
    """(how the ranks ended, the answer to the script)."""
    if status == EXIT_BAD_INPUT:
        return "refused before the first step; see above", status
    if status == 0 and (run / "manifest.json").exists():
        return "done", 0
    starts = [line["time"] for line in attempts(run) if line["attempt"] == "start"]
    stopped = last_stop(run, since=starts[-1] if starts else 0.0)
    if stopped is not None:  # whatever the status: torchrun that was told to stop ends with 1, its ranks having saved
        name, step = stopped["signal"], stopped["step"]
        by = "the file STOP" if name == STOP else name or "a signal to another rank"
        return f"stopped by {by} after step {step}", 0 if name == STOP else EXIT_AGAIN
    if (run / STOP).exists():  # a run that has heeded it removes it
        return f"to be stopped by the file STOP, but ended with status {status}", status or EXIT_FAILED
    return f"failed with status {status}", EXIT_AGAIN


def starts_for_nothing(run: Path, job: str) -> list[dict[str, Any]]:
    """The last starts of a job since which no checkpoint has become complete, oldest first."""
    newest = newest_step(run)
    starts = [line for line in attempts(run) if line["attempt"] == "start" and line["job"] == job]
    return [line for line in starts if line["checkpoint"] == newest]


def is_edited(submission: Path) -> bool:
    """Whether the script differs from the one that was submitted."""
    submitted, script = record_of(submission).get("script"), submission / SCRIPT
    return submitted is not None and script.exists() and content_hash(script) != submitted


def _refuse_loop(run: Path, job: str, most: int) -> bool:
    starts = starts_for_nothing(run, job)
    if len(starts) < most:
        return False
    first, saved = starts[0]["time"], newest_step(run)
    ends = [line for line in attempts(run) if line["attempt"] == "end" and line["job"] == job and line["time"] >= first]
    lines = [
        f"Job {job} was started {len(starts)} times without a new checkpoint; it is not queued again.",
        f"Newest checkpoint: {'none' if saved is None else f'step {saved}'}.",
        *(f"Start on {line['nodes']}, restart {line['restart']}." for line in starts),
        *(f"End with status {line['status']}: {line['outcome']}." for line in ends),
        "See the job's log beside its script. Once the reason is gone, launch the run again: it goes on from there.",
    ]
    write_whole(run / CRASH_LOOP, "\n".join(lines) + "\n")
    _say("\n".join(lines))
    return True


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer the script."""
    parser = argparse.ArgumentParser(prog="launch.attempt", description=__doc__)
    parser.add_argument("moment", choices=("begin", "end"))
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--submission", type=Path, required=True)
    parser.add_argument("--most", type=int, required=True)
    parser.add_argument("--status", type=int, default=0)
    given = parser.parse_args(arguments)
    job = os.environ.get("SLURM_JOB_ID")
    try:
        if job is None:
            raise InputError(
                where="launch.attempt", found="no SLURM_JOB_ID", expected="to be called by a job's script",
                fix="Submit runs with `megatron-ext launch`.",
            )  # fmt: skip
        if given.moment == "begin":
            return begin(given.run, given.submission, job, most=given.most)
        return end(given.run, given.submission, job, most=given.most, status=given.status)
    except InputError as error:
        _say(str(error))
        return error.status


if __name__ == "__main__":
    sys.exit(main())
