"""What a cluster is: where jobs are queued, what a node has, and how a process gets its software and its network."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, model_validator
from pydantic.dataclasses import dataclass

from megatron_ext.config.fields import STRICT, Positive, UnfitError

TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d{1,3}):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d)")
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
OneLine = Annotated[str, Field(pattern=r"^[^\n]+$")]
"""Becomes a line of the batch script."""
Word = Annotated[str, Field(pattern=r"^[^\n'\"]+$")]
"""Stands between quotes in the batch script."""
Option = Annotated[str, Field(pattern=r"^--[^\n]+$")]
GpuName = str
"""As the driver names it, such as `NVIDIA H100 80GB HBM3`."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ContainerConfig:
    """An image that the ranks run in. Slurm's own commands stay outside."""

    image: Word
    runtime: Literal["pyxis", "apptainer"] = "pyxis"
    """pyxis: options of srun. apptainer: a command before ours."""
    mounts: tuple[Word, ...] = ()
    """`outside:inside` each, besides the shared filesystems, which keep their paths."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RestartConfig:
    """When a job is stopped, and when it is started again."""

    most_without_checkpoint: PositiveInt = 3
    """Starts of a job, one after the other, that may end without a new checkpoint; then it is not queued again."""
    notice: PositiveInt | None = None
    """Seconds before the time limit at which the run is told to save. None: drawn from how long its saves took."""
    first_notice: PositiveInt = 600
    """Seconds of notice as long as no save of the run has been measured."""
    most_of_a_stage: PositiveInt = 20
    """Times that a stage of an experiment is queued again at its time limit; what is finished by then is kept."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SmallJobsConfig:
    """Jobs of less than a node: documents on CPUs, embedding and synthesis on a GPU for each task."""

    partition: Word | None = None
    """Of jobs without GPUs. None: the same as of all."""
    cpus: PositiveInt = 1
    """Of each task without a GPU, and workers in it."""
    memory: Word | None = None
    """As `sbatch --mem` takes it, of each task. None: the partition's default."""
    time_limit: str | None = None
    """None: as of all."""
    options: tuple[Option, ...] = ()
    """Further options of sbatch; those of whole nodes don't count here."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NodeCheckConfig:
    """What is looked at on every node before the ranks start, and what a node may not fall below."""

    enabled: bool | None = None
    """None: where there are GPUs."""
    clock_seconds: Positive = 1.0
    """Most that a node's clock may differ from the first node's."""
    write_megabytes: PositiveInt = 64
    """Written to the run folder by every node, all at once, and read again."""
    write_seconds: Positive = 60.0
    """Most that this may take."""
    link_megabytes: PositiveInt = 256
    """Exchanged with a neighbour, both ways at once."""
    least_share: Annotated[FiniteFloat, Field(gt=0.0, lt=1.0)] = 0.3
    """Of the median bandwidth between nodes; below it on every link that it has, a node is left out."""
    least_gigabytes_per_second: Positive | None = None
    """The same as an absolute bound. None: only the share counts."""
    seconds: PositiveInt = 300
    """For the whole check; a node that has said nothing by then is left out."""
    most_excluded: PositiveInt = 8
    """Nodes of one job that are left out; with more of them the reason lies elsewhere, and the job ends."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClusterConfig:
    """One cluster, or one way of using it."""

    partition: Word
    account: Word | None = None
    qos: Word | None = None
    time_limit: str = "24:00:00"
    """Of one job, `[days-]hours:minutes:seconds`; a run may take many."""
    nodes: PositiveInt = 1
    """Of a job, where the command line doesn't say."""
    gpus_per_node: NonNegativeInt
    """0: the ranks compute on CPUs."""
    ranks_per_node: PositiveInt | None = None
    """None: one for each GPU."""
    cpus_per_rank: PositiveInt | None = None
    gpu: GpuName | None = None
    """For estimates of time, where its peak is known."""
    gpu_memory: PositiveInt | None = None
    """GiB of one GPU; a run that needs more is refused before it is queued."""
    launcher: Literal["torchrun", "srun"] = "torchrun"
    """torchrun: one task on each node, which starts the node's ranks. srun: one task for each rank."""
    python: Word = "python"
    """The interpreter of the ranks, as it is called after `setup` or in the container."""
    setup: tuple[OneLine, ...] = ()
    """Lines of the script before anything is run: `module load ...`, `source .../activate`."""
    container: ContainerConfig | None = None
    environment: dict[Name, str] = Field(default_factory=dict)
    """Variables of every rank: networks, NCCL."""
    shared: tuple[Word, ...] = ()
    """Absolute folders that all nodes see. Where any are named, the run folder and what it reads lie in them."""
    exclude: tuple[Word, ...] = ()
    """Nodes that get no job."""
    options: tuple[Option, ...] = ()
    """Further options of sbatch for jobs of whole nodes, such as `--exclusive`."""
    small: SmallJobsConfig = Field(default_factory=SmallJobsConfig)
    restarts: RestartConfig = Field(default_factory=RestartConfig)
    node_check: NodeCheckConfig = Field(default_factory=NodeCheckConfig)

    @property
    def ranks_of_a_node(self) -> int:
        return self.ranks_per_node or self.gpus_per_node

    @property
    def checks_nodes(self) -> bool:
        """Whether a job looks at its nodes first."""
        return self.gpus_per_node > 0 if self.node_check.enabled is None else self.node_check.enabled

    @property
    def seconds(self) -> int:
        """Of the time limit."""
        days, hours, minutes, seconds = (int(part or 0) for part in TIME.fullmatch(self.time_limit).groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        wrong = next(
            (limit for limit in (self.time_limit, self.small.time_limit) if limit and not TIME.fullmatch(limit)), None
        )
        if wrong is not None:
            raise UnfitError(
                found=f"time_limit {wrong!r}", expected="[days-]hours:minutes:seconds",
                fix='Write it as "24:00:00" or "2-00:00:00", in quotes: YAML reads 24:00:00 as a number.',
            )  # fmt: skip
        if not self.ranks_of_a_node:
            raise UnfitError(
                found="no GPUs and no ranks_per_node", expected="a number of ranks for each node",
                fix="Set ranks_per_node: a node without GPUs doesn't say how many processes it is to run.",
            )  # fmt: skip
        if self.gpus_per_node and self.ranks_of_a_node > self.gpus_per_node:
            raise UnfitError(
                found=f"{self.ranks_of_a_node} ranks for {self.gpus_per_node} GPUs of a node",
                expected="at most one rank for each GPU", fix="Leave ranks_per_node out.",
            )  # fmt: skip
        relative = next((folder for folder in self.shared if not PurePosixPath(folder).is_absolute()), None)
        if relative is not None:
            raise UnfitError(
                found=f"shared folder {relative!r}", expected="absolute folders", fix="Begin it with /.",
            )  # fmt: skip
        if self.container and not self.shared:
            raise UnfitError(
                found="a container, and no shared folders", expected="the folders that it is to see",
                fix="Name in `shared` the disks of run folders and corpora: they are mounted under their own paths.",
            )  # fmt: skip
        return self
