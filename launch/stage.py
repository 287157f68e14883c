"""A stage of an experiment that is no training, as a batch script: one task, or an array of them, on one node each."""

from dataclasses import dataclass
from pathlib import Path

from launch.graph import Stage
from launch.job import container_options, inside, option_lines, template
from megatron_ext.config.cluster import ClusterConfig

EXPERIMENT_FILE = "experiment.yaml"
NOTICE = 120
"""Seconds before its time limit at which a stage is ended: shards and answers are kept as they are finished."""


@dataclass(frozen=True, kw_only=True)
class StageJob:
    """A stage that is no training: one task, or an array of them, on one node each."""

    name: str
    stage: Stage
    folder: Path
    """Experiment folder."""
    submission: Path
    cluster: ClusterConfig
    tasks: int = 1
    gpus: int = 1
    """Of each task, of a stage that takes GPUs."""

    @property
    def script(self) -> Path:
        return self.submission / f"{self.name}.sh"

    @property
    def partition(self) -> str:
        return (self.stage.takes == "cpus" and self.cluster.small.partition) or self.cluster.partition

    @property
    def nodes(self) -> int:
        return 1

    @property
    def cpus(self) -> int | None:
        """Of a task; None leaves it to Slurm."""
        if self.stage.takes == "cpus":
            return self.cluster.small.cpus
        each = self.cluster.cpus_per_rank
        return each and each * (self.cluster.ranks_of_a_node if self.stage.takes == "node" else self.gpus)

    @property
    def workers(self) -> int:
        """Processes that share out the work of one task."""
        return self.cluster.small.cpus if self.stage.parted and self.stage.takes == "cpus" else 1

    @property
    def threads(self) -> int:
        processes = self.cluster.ranks_of_a_node if self.stage.takes == "node" else self.workers
        return max(1, (self.cpus or 1) // processes)

    @property
    def command(self) -> list[str]:
        return [*stage_command(self.submission, self.folder, self.name), "--workers", str(self.workers),
                "--processes", str(self.cluster.ranks_of_a_node)]  # fmt: skip

    @property
    def log(self) -> str:
        """%A is the job's id, %a the number of the task."""
        return f"{self.submission}/{self.name}".replace("%", "%%") + (".%A_%a.log" if self.tasks > 1 else ".%j.log")


def stage_command(kept: Path, folder: Path, name: str) -> list[str]:
    """The module and its arguments that do a stage, with the settings of a submission."""
    return ["megatron_ext", "stage", str(kept / EXPERIMENT_FILE), str(folder), name]


def render(job: StageJob) -> str:
    """The batch script of a stage."""
    return template("stage.sh.j2").render(
        job=job, cluster=job.cluster, options=sbatch_options(job), container=container_options(job.cluster),
        inside=inside(job.cluster),
    )  # fmt: skip


def sbatch_options(job: StageJob) -> list[str]:
    """One a line of the script's head."""
    cluster, small, takes = job.cluster, job.cluster.small, job.stage.takes
    gpus = {"cpus": 0, "gpu": min(job.gpus, cluster.gpus_per_node), "node": cluster.gpus_per_node}[takes]
    named = {
        "job-name": job.name,
        "partition": job.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": job.cpus,
        "gpus-per-node": gpus or None,
        "mem": None if takes == "node" else small.memory,
        "time": cluster.time_limit if takes == "node" else small.time_limit or cluster.time_limit,
        "array": f"0-{job.tasks - 1}" if job.tasks > 1 else None,
        "exclude": ",".join(cluster.exclude) or None,
        "signal": f"B:USR1@{NOTICE}",
        "open-mode": "append",
        "output": f'"{job.log}"',
    }
    return option_lines(named, cluster.options if takes == "node" else small.options)
