"""An experiment on a real Slurm of two nodes: a graph of jobs that ends in its report."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from megatron_ext.cli.demo_stages import stages_of
from megatron_ext.config import load_experiment
from tests.cluster.conftest import JOB_SECONDS
from tests.support import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

DEMO = ROOT / "configs" / "experiments" / "demo.yaml"
SMALL = {
    "budget_tokens": 4 * 4096,
    "tuning": {
        "learning_rate": 0.0003, "tokens": 2 * 8192,
        "batch": {"sequence_length": 4096, "global_batch": 2, "micro_batch": 1},
    },
    "synthesis": {"documents": 24, "max_new_tokens": 32, "shingle": 1000},
    "checkpoint": {"every": 2},
    "jobs": {"synthesis": {"tasks": 2}, "corpora": {"tasks": 2}, "baseline": {"nodes": 2}},
    "mideval": {"documents": 4, "threshold": "bounds.yaml"}, "flops_matched": True,
}  # fmt: skip
BOUNDS = "distinct_1: {at_least: 0.001}"


@pytest.fixture
def experiment(slurm, tmp_path_factory):
    """Launches a small version of the demo; `folder` is its folder."""
    place = tmp_path_factory.mktemp("experiment")

    class Experiment:
        folder = place / "folder"

        def call(self, *options: str, cluster: dict | None = None, **changes) -> subprocess.CompletedProcess[str]:
            settings = yaml.safe_load(DEMO.read_text()) | SMALL | changes
            settings["model"] = str(DEMO.parent / settings["model"])
            settings["corpus"] = [str(DEMO.parent / settings["corpus"][0])]
            described = {
                "partition": "low", "gpus_per_node": 0, "ranks_per_node": 1, "time_limit": "00:20:00",
                "python": sys.executable, "environment": {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
                "restarts": {"notice": 5},
            }  # fmt: skip
            (place / "bounds.yaml").write_text(BOUNDS)
            for name, values in (("experiment", settings), ("cluster", described | (cluster or {}))):
                (place / f"{name}.yaml").write_text(yaml.safe_dump(values))
            return subprocess.run(
                [sys.executable, "-m", "megatron_ext", "launch", str(place / "experiment.yaml"), str(self.folder),
                 "--cluster", str(place / "cluster.yaml"), *options],
                cwd=ROOT, env=slurm.environment, capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip

        def launch(self, **changes) -> dict[str, str]:
            """Stage -> job."""
            done = self.call("--json", **changes)
            assert done.returncode == 0, done.stderr
            return {name: stage["job"] for name, stage in self.graph().items()}

        def graph(self) -> dict:
            return json.loads((self.folder / "launch" / "graph.json").read_text())["stages"]

        def wait(self, seconds: float = 2 * JOB_SECONDS) -> None:
            """Until nothing is queued any more."""
            slurm.wait_until(lambda: not slurm.run("squeue", "--noheader"), f"the graph to end: {self.logs()}", seconds)

        def logs(self) -> str:
            files = sorted(Path(self.folder).rglob("launch/*/*.log"))
            return "\n".join(f"{path.name}: {path.read_text()[-300:]}" for path in files)

    yield Experiment()
    slurm.cancel_all()


def test_a_graph_of_jobs_ends_in_its_report_and_goes_on_with_what_is_missing_if_one_fails(experiment, slurm):
    shown = experiment.call("--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "└─ synthesizer (and pairs)" in shown.stdout
    assert not experiment.folder.exists()
    first = experiment.launch(cluster={"setup": ['[ "$SLURM_JOB_NAME" != demo-embeddings ] || exit 3']})
    assert set(first) == set(stages_of(load_experiment(experiment.folder.with_name("experiment.yaml"))))
    assert {"mideval", "longer", "quality"} <= set(first)
    experiment.wait()
    assert (experiment.folder / "arms" / "oracle" / "manifest.json").exists(), experiment.logs()
    assert not (experiment.folder / "embeddings").exists()
    assert not list(experiment.folder.glob("launch/0001/neighbors.*.log"))  # cancelled: it could never have started

    second = experiment.launch()
    experiment.wait()
    report = json.loads((experiment.folder / "report.json").read_text())
    assert report["missing"] == report["flags"] == [], experiment.logs()
    assert report["mideval"]["verdict"]["go"]
    assert report["arms"]["baseline_flops"]["steps"] > report["arms"]["baseline"]["steps"]
    assert slurm.job_state(second["report"]) == "COMPLETED"
    assert len(list(experiment.folder.glob("launch/0002/synthesis.*.log"))) == 2
    assert {name for name in first if first[name] == second[name]} == {
        "clean", "split", "tokenizer", "corpora", "baseline", "oracle",
    }  # fmt: skip

    again = experiment.call("--json")
    assert {stage["state"] for stage in json.loads(again.stdout)["stages"].values()} == {"done"}
