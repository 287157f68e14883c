"""One Slurm for all tests of this folder, and runs that are launched on it with the command that users type."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.slurm_cluster import SlurmCluster, missing_programs
from tests.support import ROOT, losses, make_corpus, run_settings, start

JOB_SECONDS = 600.0
STEPS = 40
NOTICE = 12
"""Seconds before its time limit at which a run is told to save."""
EARLY = 35
"""Seconds by which Slurm may tell it earlier: it looks every 30 s."""
UNDISTURBED = "undisturbed"
SLOWLY = """
def learning_rate(config, step, before=learning_rate):
    import os, time

    time.sleep({seconds} if os.path.exists({sign!r}) else 0)
    return before(config, step)
"""
"""A step takes longer as long as there is a sign: so a run is still at work when what is to befall it does."""


@dataclass
class Launcher:
    """Launches runs on the cluster, and says what has become of them."""

    cluster: SlurmCluster
    place: Path
    corpus: Path

    def settings(self, *, steps: int, **changes: Any) -> dict[str, Any]:
        """A run on two ranks: on one core each they take about 60 ms a step."""
        batch = {"sequence_length": 64, "global_batch": 16, "micro_batch": 1}
        settings = run_settings(self.corpus, steps=1, batch=batch, **changes)
        settings["sources"]["real"]["tokens"] = steps * 64 * 16
        return settings

    def call(self, name: str, settings: dict[str, Any], *options: str, nodes: int = 2, **cluster: Any) -> Any:
        """`megatron-ext launch`, ended."""
        run_file, cluster_file = self.place / f"{name}.yaml", self.place / f"{name}.cluster.yaml"
        run_file.write_text(yaml.safe_dump(settings))
        described = {
            "partition": "low", "gpus_per_node": 0, "ranks_per_node": 1, "time_limit": "00:10:00",
            "python": sys.executable, "environment": {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        }  # fmt: skip
        cluster = {"restarts": {"notice": 5}} | cluster
        cluster_file.write_text(yaml.safe_dump(described | cluster))
        return subprocess.run(
            [sys.executable, "-m", "megatron_ext", "launch", str(run_file), str(self.place / name),
             "--cluster", str(cluster_file), "--nodes", str(nodes), *options],
            cwd=ROOT, env=self.cluster.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def launch(
        self, name: str, settings: dict[str, Any], *, slow: float = 0, setup: Sequence[str] = (), **cluster: Any
    ) -> tuple[str, Path]:
        """(the job's id, the run folder), once it is queued. Each step takes `slow` seconds more until `hurry`."""
        if slow:
            sign, code = self.place / f"{name}.slow", self.place / f"{name}.py"
            sign.touch()
            code.write_text(SLOWLY.format(seconds=slow, sign=str(sign)))
            setup = [*setup, f'cat "{code}" >> "$submission/code/megatron_ext/training/schedule.py"']
        cluster |= {"setup": list(setup)}
        done = self.call(name, settings, "--json", **cluster)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["job"], self.place / name

    def hurry(self, run: Path) -> None:
        """From now on the run's steps take no longer than they need."""
        run.with_name(f"{run.name}.slow").unlink()

    def wait_for_events(self, run: Path, name: str, count: int = 1, *, seconds: float = JOB_SECONDS) -> None:
        """Until the run's record has so many events of a name."""
        self.cluster.wait_until(lambda: len(events(run, name)) >= count, f"{count} of {name} in {run}", seconds)

    def wait_for_end(self, job: str, run: Path, state: str = "COMPLETED", *, seconds: float = JOB_SECONDS) -> None:
        """Until the job is over, in the state that is expected of it."""
        over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
        self.cluster.wait_until(lambda: self.cluster.job_state(job) in over, f"job {job}: {self.log(run)}", seconds)
        assert self.cluster.job_state(job) == state, self.log(run)

    def log(self, run: Path) -> str:
        """What the run's jobs have printed."""
        return "\n".join(path.read_text() for path in sorted(run.glob("launch/*/*.log")))


def events(run: Path, name: str) -> list[dict[str, Any]]:
    """Of one name, in the record of a run."""
    path = run / "events.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [event for event in map(json.loads, lines) if event["event"] == name]


def attempts(run: Path, what: str) -> list[dict[str, Any]]:
    """Starts or ends of a run's ranks."""
    lines = (run / "launch" / "attempts.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["attempt"] == what]


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """A Slurm of two nodes."""
    missing = missing_programs()
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: `make test-cluster` installs them")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons are started as root here, so that jobs may be run by anybody")
    with SlurmCluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def launcher(slurm: SlurmCluster, tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    place = tmp_path_factory.mktemp("launched")
    return Launcher(slurm, place, make_corpus(place, documents=200))


@pytest.fixture(autouse=True)
def _no_job_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "launcher" in request.fixturenames:
        request.getfixturevalue("slurm").cancel_all()


@pytest.fixture(scope="session")
def undisturbed(launcher: Launcher) -> list[float]:
    """The losses of a run of so many STEPS that nothing has interrupted."""
    run = launcher.place / UNDISTURBED
    process = start(run, launcher.settings(steps=STEPS), processes=2)
    printed, _ = process.communicate(timeout=JOB_SECONDS)
    assert process.returncode == 0, printed
    return losses(run)


@pytest.fixture(scope="session")
def minutes(launcher: Launcher, undisturbed: list[float]) -> int:
    """A time limit before whose notice a run surely begins to train here. Slurm counts whole minutes."""
    run = launcher.place / UNDISTURBED
    startup = events(run, "step")[0]["time"] - run.with_suffix(".yaml").stat().st_mtime
    return ceil((1.5 * startup + NOTICE + EARLY) / 60)
