"""A real Slurm of two nodes on this host, for tests: Debian's daemons, no systemd, all state in one folder.

    with SlurmCluster(folder) as cluster:
        cluster.run("sinfo")

It stops exactly what it started: its daemons are children of this process and die with it, and what jobs may have left
is told by the SLURM_CONF in its environment, which is this cluster's own file. Any number of clusters may run beside
each other and beside a real one: ports are free ones, and every path is in the folder.

By hand: `python -m tests.cluster.slurm_cluster FOLDER` starts one, says how to talk to it, and stops it on Ctrl-C.
"""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from data_tools.processes import die_with_parent

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "sinfo", "scancel")
SEARCHED = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
NODES = ("n1", "n2")
START_SECONDS, STOP_SECONDS = 30.0, 20.0

CONF = """\
ClusterName=tests
# Ranks meet on a port that is drawn from the job's number: two clusters on one host are not to draw the same.
FirstJobId={first_job}
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# Without cred_expire a job that is requeued waits 121 s until its old credential has expired.
AuthInfo=socket={folder}/munge.sock,cred_expire=5
SlurmctldPort={controller_port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
StateSaveLocation={folder}/state
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdSpoolDir={folder}/spool.%n
SlurmdParameters=config_overrides
# No cgroups: they are the machine's own.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
MinJobAge=3600
ReturnToService=2
KillWait=20
SlurmdTimeout=8
AccountingStorageType=accounting_storage/none
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,requeue_delay=1
NodeName={nodes} NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first_port}-{last_port}] CPUs=4 RealMemory=4000 \\
  Gres=gpu:2
PartitionName=low Nodes=ALL Default=YES MaxTime=60 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=graceful Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE GraceTime=60
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF
"""


def missing_programs() -> list[str]:
    """Those of Slurm and munge that this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]


class SlurmCluster:
    """Two nodes of 4 CPUs and 2 pretended GPUs; partitions `low`, `graceful` (60 s) and `high`, which preempts both."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self._write_files()
        try:
            self._start("munged", "--foreground", "--force", *(
                f"--{name}={self.folder}/munge.{ending}"
                for name, ending in {"key-file": "key", "socket": "sock", "pid-file": "pid", "log-file": "log",
                                     "seed-file": "seed"}.items()
            ))  # fmt: skip
            self.wait_until(lambda: (self.folder / "munge.sock").exists(), "munged's socket")
            self._start("slurmctld", "-D", "-i", "-c", "-f", str(self.conf))
            for node in NODES:
                self.start_node(node)
            self.wait_until(lambda: self.states() == ["idle"] * len(NODES), "both nodes to be idle")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node, also again after it was killed."""
        self._start("slurmd", "-D", "-N", node, "-f", str(self.conf), key=node)

    def kill_node(self, node: str, *, with_jobs: bool) -> None:
        """Kill a node's slurmd; with whatever its jobs run there, as if it had lost its power."""
        slurmd = self.daemons.pop(node)
        slurmd.kill()
        slurmd.wait()
        for process in self._left_by_jobs(node) if with_jobs else ():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def run(self, *command: str, check: bool = True) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 or not check, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def states(self) -> list[str]:
        """Of the nodes."""
        return self.run("sinfo", "--noheader", "--Node", "--partition=low", "--format=%T", check=False).split()

    def job_state(self, job: str) -> str:
        """As PENDING, RUNNING, COMPLETED, FAILED; kept for some minutes after the job's end."""
        shown = self.run("scontrol", "--oneliner", "show", "job", job)
        return next(word.partition("=")[2] for word in shown.split() if word.startswith("JobState="))

    def cancel_all(self) -> None:
        """End every job, and wait until the nodes are free again."""
        self.run("scancel", f"--user={getpass.getuser()}", check=False)
        self.wait_until(lambda: not self.run("squeue", "--noheader"), "jobs to end")

    def wait_until(self, reached: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
        """Wait for something to be true."""
        deadline = time.monotonic() + seconds
        while not reached():
            dead = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            assert not dead, f"{dead} ended: {self._end_of_logs()}"
            assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}: {self._end_of_logs()}"
            time.sleep(0.2)

    def stop(self) -> None:
        """End the jobs, the daemons in the reverse order of their start, and what outlived its job."""
        with suppress(Exception):
            self.cancel_all()
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.daemons.clear()
        for process in self._left_by_jobs():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _start(self, program: str, *arguments: str, key: str | None = None) -> None:
        path = shutil.which(program, path=SEARCHED)
        assert path, f"no {program}"
        with (self.folder / f"{key or program}.out").open("ab") as log:
            self.daemons[key or program] = subprocess.Popen(
                [path, *arguments], env=self.environment, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=die_with_parent,
            )  # fmt: skip

    def _left_by_jobs(self, node: str | None = None) -> Iterator[int]:
        """Processes of this cluster's jobs, on one node or on all, told by their environment."""
        wanted = [f"SLURM_CONF={self.conf}"] + ([f"SLURMD_NODENAME={node}"] if node else [])
        own = {os.getpid(), *(daemon.pid for daemon in self.daemons.values())}
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                environment = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
                if int(entry.name) not in own and all(item in environment for item in wanted):
                    yield int(entry.name)

    def _write_files(self) -> None:
        for folder in (self.folder, self.folder / "state", *(self.folder / f"spool.{node}" for node in NODES)):
            folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        controller_port, *node_ports = _free_ports(1 + len(NODES))
        values = {
            "host": socket.gethostname().partition(".")[0], "user": getpass.getuser(), "folder": self.folder,
            "nodes": f"n[1-{len(NODES)}]", "controller_port": controller_port, "first_job": 1 + os.getpid() % 100_000,
            "first_port": node_ports[0], "last_port": node_ports[-1],
        }  # fmt: skip
        self.conf.write_text(CONF.format(**values))
        # A GPU of Slurm's needs a device file; nothing opens these.
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")

    def _end_of_logs(self) -> str:
        logs = sorted((*self.folder.glob("*.log"), *self.folder.glob("*.out")))
        return "".join(f"\n== {log.name}\n" + "\n".join(log.read_text().splitlines()[-8:]) for log in logs)


def _free_ports(count: int) -> range:
    """So many free ports in a row."""
    for first in range(31_000 + os.getpid() % 10_000, 60_000, count):
        with suppress(OSError):
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("", port))
            return range(first, first + count)
    raise OSError(f"no {count} free ports in a row")


def main() -> None:
    """A cluster to play with."""
    if missing := missing_programs():
        sys.exit(f"missing: {', '.join(missing)}. On Debian and Ubuntu, as root: make slurm")
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has started it in the background
        signal.signal(number, signal.default_int_handler)
    with SlurmCluster(Path(sys.argv[1]).absolute()) as cluster:
        print(f"export SLURM_CONF={cluster.conf}", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
