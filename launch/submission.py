"""A run becomes a job: what can be refused is refused; script, run file and code are kept; then it is queued.

    RUN/launch/0001/job.sh           the script
                    run.yaml         the run with all its settings
                    cluster.yaml     the cluster's
                    code/            our packages, their commit and what differs from it
                    submission.json  the job's id, the hash of the script
                    1234.log         what the job and its ranks print, all starts one after the other

A folder is kept for every submission; the newest counts.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from data_tools.errors import InputError
from data_tools.files import content_hash, locked, remove_artifact, whole_or_nothing, write_whole
from launch import attempts, slurm
from launch.attempt import SCRIPT, STOP, is_edited
from launch.graph import MANIFEST
from launch.job import RUN_FILE, Job, render, require_notice
from launch.preflight import require_shared
from launch.snapshot import keep_code
from megatron_ext.config import RunConfig, as_dict
from megatron_ext.config.cluster import ClusterConfig


@dataclass(frozen=True)
class Submitted:
    """A job in the queue."""

    id: str
    log: Path
    expected_start: str
    """As Slurm said before it was queued."""


def plan_job(run: Path, cluster: ClusterConfig, *, nodes: int | None) -> Job:
    """The next job of a run.

    Raises:
        InputError: the time limit leaves no time to train.
    """
    restarts, run = cluster.restarts, run.absolute()
    notice = restarts.notice or attempts.notice(attempts.pace(run), first=restarts.first_notice)
    job = Job(
        run=run, submission=attempts.next_submission(run), cluster=cluster, nodes=nodes or cluster.nodes, notice=notice
    )
    require_notice(job)
    return job


def is_finished(run: Path, config: RunConfig) -> bool:
    """Whether a run has taken all of its steps; one that is given more tokens has not."""
    return (run / MANIFEST).exists() and (attempts.newest_step(run) or 0) >= config.steps


def check(job: Job, config: RunConfig) -> None:
    """Refuse what would fail in the queue or on the nodes. Asks Slurm.

    Raises:
        InputError: no such partition, or one that can't give the nodes, GPUs or time; a folder that a live job uses,
            whose script was edited, or that is not on a disk which all nodes see.
    """
    check_folders(job, config)
    slurm.require_free(job.run)
    cluster, known = job.cluster, slurm.partitions()
    if cluster.partition not in known:
        raise InputError(
            where="partition", found=cluster.partition, expected=f"one of {', '.join(sorted(known))}",
            fix="Correct the cluster's file; `sinfo` lists partitions.",
        )  # fmt: skip
    partition = known[cluster.partition]
    for what, asked, there in (
        ("nodes", job.nodes, partition.nodes), ("GPUs of a node", cluster.gpus_per_node, partition.gpus_per_node),
        ("seconds of time limit", cluster.seconds, partition.seconds),
    ):  # fmt: skip
        if asked > there:
            raise InputError(
                where=f"partition {partition.name}", found=f"{asked} {what} asked for", expected=f"at most {there:g}",
                fix="Ask for less, with --nodes or in the cluster's file, or choose another partition.",
            )  # fmt: skip


def check_folders(job: Job, config: RunConfig) -> None:
    """The part of `check` that needs no Slurm.

    Raises:
        InputError: as for `check`.
    """
    require_shared(job.cluster.shared, {"the run folder": job.run, **dict(_read_by(config))})
    before = attempts.submissions(job.run)
    if before and is_edited(before[-1]):
        raise InputError(
            where=str(before[-1] / SCRIPT), found="a script that was edited after it was submitted",
            expected="the script as it was submitted: Slurm runs a copy of its own, and a new launch writes a new one",
            fix="Put what you changed into the run file or the cluster's file (`setup`, `options`), and remove the "
            "edited script.",
        )  # fmt: skip
    if (job.run / STOP).exists():
        raise InputError(
            where=str(job.run / STOP), found="a file that tells the run to stop", expected="none", fix="Remove it."
        )


def submit(job: Job, config: RunConfig) -> Submitted:
    """Keep what the job is made of, and queue it.

    Raises:
        InputError: Slurm refuses it, or another launch is at work; nothing was queued, and nothing is left.
    """
    with locked(job.run):
        return queue(job, prepare(job, config))


def prepare(job: Job, config: RunConfig) -> str:
    """Keep what a job is made of; returns when Slurm would start it. The caller holds the folder's lock.

    Raises:
        InputError: Slurm would refuse it; nothing is left.
    """
    keep(job, config)
    with _nothing_left(job):
        return slurm.expected_start(job.submission / SCRIPT)


def queue(job: Job, start: str, options: Sequence[str] = ()) -> Submitted:
    """Queue what was prepared, with further options of sbatch.

    Raises:
        InputError: Slurm refuses it; nothing is left.
    """
    script = job.submission / SCRIPT
    with _nothing_left(job):
        number = slurm.submit(script, options)
    record = {"job": number, "script": content_hash(script)}
    write_whole(job.submission / attempts.SUBMISSION, json.dumps(record) + "\n")
    (job.run / attempts.CRASH_LOOP).unlink(missing_ok=True)
    return Submitted(id=number, log=job.submission / f"{number}.log", expected_start=start)


@contextmanager
def _nothing_left(job: Job) -> Iterator[None]:
    try:
        yield
    except InputError:
        remove_artifact(job.submission)
        raise


def keep(job: Job, config: RunConfig) -> None:
    """Write the folder of a submission, whole or not at all."""
    with whole_or_nothing(job.submission) as scratch:
        (scratch / SCRIPT).write_text(render(job))
        (scratch / RUN_FILE).write_text(yaml.safe_dump(as_dict(config), sort_keys=False))
        (scratch / "cluster.yaml").write_text(yaml.safe_dump(as_dict(job.cluster), sort_keys=False))
        keep_code(scratch / "code")


def _read_by(config: RunConfig) -> Iterable[tuple[str, Path]]:
    for name, source in config.sources.items():
        yield f"sources.{name}.corpus", source.corpus
        if source.pairs is not None:
            yield f"sources.{name}.pairs", source.pairs
    for name in ("init_from", "tokenizer"):
        if getattr(config, name) is not None:
            yield name, getattr(config, name)
