"""A job: one run on some nodes of a cluster, as a batch script that a person can read from top to bottom.

The script is all there is: no daemon, and nothing that Slurm does not do. What it says about restarts is decided in
`attempt.py`.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_tools.errors import InputError
from launch.attempt import EXIT_AGAIN, SCRIPT
from megatron_ext.config.cluster import ClusterConfig

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).with_name("templates")
RUN_FILE = "run.yaml"
LONGEST_NAME = 60


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a script is made of."""

    run: Path
    """Run folder."""
    submission: Path
    """Folder of the script, the run file, the code and the logs."""
    cluster: ClusterConfig
    nodes: int
    notice: int
    """Seconds before the time limit at which the run is told to save."""
    prepare: tuple[str, ...] = ()
    """Of a stage of an experiment: the command of ours that writes its run file, once the stages before it are done."""

    @property
    def ranks(self) -> int:
        return self.nodes * self.cluster.ranks_of_a_node

    @property
    def log(self) -> str:
        """Of all its starts; %j is the job's id."""
        return str(self.submission).replace("%", "%%") + "/%j.log"


def require_notice(job: Job) -> None:
    """Refuse a job that would be told to save before it has trained.

    Raises:
        InputError: the notice takes more than half of the time limit.
    """
    if 2 * job.notice > job.cluster.seconds:
        raise InputError(
            where="time_limit", found=f"{job.cluster.time_limit}, of which the last {job.notice} s are for saving",
            expected=f"at least {2 * job.notice} s", fix="Raise time_limit, or lower restarts.notice.",
        )  # fmt: skip


def render(job: Job) -> str:
    """The batch script."""
    return template(f"{SCRIPT}.j2").render(
        job=job, cluster=job.cluster, options=sbatch_options(job), cpus=_cpus_per_task(job), again=EXIT_AGAIN,
        container=container_options(job.cluster), inside=inside(job.cluster),
    )  # fmt: skip


def template(name: str) -> "Template":
    """One of the templates of scripts."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    environment.filters["quoted"] = lambda value: shlex.quote(str(value))
    environment.filters["command"] = shlex.join
    return environment.get_template(name)


def sbatch_options(job: Job) -> list[str]:
    """One a line of the script's head."""
    cluster, one_task_a_rank = job.cluster, job.cluster.launcher == "srun"
    tasks = cluster.ranks_of_a_node if one_task_a_rank else 1
    named = {
        "job-name": re.sub(r"[^\w.-]", "_", job.run.name)[:LONGEST_NAME],
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "nodes": job.nodes,
        "ntasks-per-node": tasks,
        "cpus-per-task": _cpus_per_task(job),
        "gpus-per-node": cluster.gpus_per_node or None,
        "time": cluster.time_limit,
        "exclude": ",".join(cluster.exclude) or None,
        "signal": f"B:USR1@{job.notice}",
        "open-mode": "append",
        "output": f'"{job.log}"',
    }
    return option_lines(named, cluster.options)


def option_lines(named: Mapping[str, Any], further: Sequence[str]) -> list[str]:
    """Options of a script that Slurm may queue again; one without a value is left out."""
    return [f"--{name}={value}" for name, value in named.items() if value is not None] + ["--requeue", *further]


def _cpus_per_task(job: Job) -> int | None:
    """To be told to srun as well, which since Slurm 22.05 doesn't take it over from sbatch."""
    each = job.cluster.cpus_per_rank
    if each is None:
        return None
    return each if job.cluster.launcher == "srun" else each * job.cluster.ranks_of_a_node


def container_options(cluster: ClusterConfig) -> str:
    """Of srun, where pyxis starts containers."""
    container = cluster.container
    if container is None or container.runtime != "pyxis":
        return ""
    return f'--container-image="{container.image}" --container-mounts="{_mounts(cluster)}"'


def inside(cluster: ClusterConfig) -> str:
    """Before a command, where what starts containers is a command too."""
    container = cluster.container
    if container is None or container.runtime != "apptainer":
        return ""
    gpus = " --nv" if cluster.gpus_per_node else ""
    return f'apptainer exec{gpus} --bind "{_mounts(cluster)}" "{container.image}" '


def _mounts(cluster: ClusterConfig) -> str:
    return ",".join([*(f"{folder}:{folder}" for folder in cluster.shared), *cluster.container.mounts])
