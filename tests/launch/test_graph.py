"""The graph of an experiment is drawn as it will run, leaves out what is finished, and needs no cluster to be seen."""

import json
from pathlib import Path

import pytest
import yaml

from data_tools.errors import InputError
from launch import preflight
from launch.experiment import plan_experiment
from launch.graph import Stage, draw, unfinished
from launch.stage import render, sbatch_options
from megatron_ext.cli.demo_stages import stages_of
from megatron_ext.cli.main import main
from megatron_ext.config import load_cluster, load_experiment
from tests.support import ROOT

EXPERIMENTS = ROOT / "configs" / "experiments"
H100 = ROOT / "configs" / "clusters" / "h100_infiniband.yaml"
LUSTRE = "/lustre/no such experiment"
OF_DEMO = stages_of(load_experiment(EXPERIMENTS / "demo.yaml"))
FORK = {
    "corpus": Stage("a"), "long": Stage("b", ("corpus",)), "short": Stage("c", ("corpus",)),
    "page": Stage("d", ("long", "short"), outputs=("page.html",)),
}  # fmt: skip


def finish(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "manifest.json").touch()


def planned(experiment, tmp_path, **changes):
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(H100.read_text()) | changes))
    config = load_experiment(experiment)
    return plan_experiment(config, tmp_path / "x", load_cluster(path), OF_DEMO, nodes=None, settings="s")


def test_every_stage_comes_after_what_it_needs():
    seen: set[str] = set()
    for name, stage in OF_DEMO.items():
        assert set(stage.needs) <= seen
        seen.add(name)


def test_a_graph_is_drawn_as_a_tree_that_names_further_needs():
    columns = {name: [stage.title] for name, stage in FORK.items()}
    assert draw(FORK, columns, ["does"]).splitlines() == [
        "stage                   does",
        "corpus                  a",
        "├─ long                 b",
        "│  └─ page (and short)  d",
        "└─ short                c",
    ]


def test_finished_stages_are_left_out_and_so_is_what_only_they_needed(tmp_path):
    assert unfinished(FORK, tmp_path) == ["corpus", "long", "short", "page"]
    finish(tmp_path, "long")
    assert unfinished(FORK, tmp_path) == ["corpus", "short", "page"]
    finish(tmp_path, "short")  # nobody needs the corpus any more, though it is gone
    assert unfinished(FORK, tmp_path) == ["page"]
    (tmp_path / "page.html").touch()
    assert unfinished(FORK, tmp_path) == []


@pytest.mark.parametrize(("name", "tokens"), [("sbp_1t", 999_997_571_072), ("sbp_200b", 200_001_191_936)])
def test_the_papers_experiments_can_be_seen_whole_without_cluster_or_corpora(name, tokens, capsys):
    arguments = ["launch", str(EXPERIMENTS / f"{name}.yaml"), LUSTRE, "--cluster", str(H100), "--dry-run"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert f"Arms, each of {tokens:,} tokens" in printed
    assert "└─ synthesizer (and pairs)" in printed
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {arm["tokens"] for arm in told["arms"].values()} == {tokens}
    assert sum(told["arms"]["sbp"][source] for source in ("real", "synthetic")) == tokens
    assert all(told["stages"][name]["node_hours"] > 1 for name in ("baseline", "synthesizer", "synthesis", "sbp"))
    assert not Path(LUSTRE).exists()


def test_the_papers_shares_of_synthetic_tokens_are_kept(capsys):
    for name, synthetic in (("sbp_1t", 125e9), ("sbp_200b", 75e9)):
        arguments = ["launch", str(EXPERIMENTS / f"{name}.yaml"), LUSTRE, "--cluster", str(H100), "--dry-run"]
        assert main([*arguments, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["arms"]["sbp"]["synthetic"] == pytest.approx(synthetic, rel=1e-3)


def test_small_jobs_take_parts_of_nodes_and_arrays_where_the_work_can_be_parted(tmp_path):
    plan = planned(EXPERIMENTS / "sbp_1t.yaml", tmp_path)
    of = {name: set(sbatch_options(plan.jobs[name])) for name in ("clean", "synthesis", "evaluation", "tokenizer")}
    assert {"--partition=cpu", "--cpus-per-task=32", "--mem=128G", "--array=0-63"} <= of["clean"]
    assert {"--partition=batch", "--gpus-per-node=1", "--cpus-per-task=12", "--array=0-255"} <= of["synthesis"]
    assert {"--partition=batch", "--gpus-per-node=8", "--exclusive"} <= of["evaluation"]
    assert not any(option.startswith(("--array", "--gpus")) for option in of["tokenizer"])
    assert "megatron_ext stage" in render(plan.jobs["clean"])
    assert "clean --workers 32 --processes 8" in render(plan.jobs["clean"])
    assert plan.jobs["baseline"].ranks == 256


@pytest.mark.parametrize(
    ("jobs", "said"),
    [({"sing": {"tasks": 2}}, "found 'sing'"), ({"tokenizer": {"tasks": 2}}, "expected neither tasks nor nodes"),
     ({"clean": {"nodes": 2}}, "expected tasks"), ({"sbp": {"tasks": 2}}, "expected nodes")],
)  # fmt: skip
def test_sizes_that_a_stage_cannot_have_are_refused(jobs, said, tmp_path):
    settings = yaml.safe_load((EXPERIMENTS / "demo.yaml").read_text()) | {"jobs": jobs}
    settings["model"] = str(ROOT / "configs" / "models" / "tiny.yaml")
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(InputError) as error:
        planned(path, tmp_path)
    assert said in str(error.value)


def test_a_run_that_needs_more_memory_than_a_gpu_has_is_refused_and_one_that_fits_is_told():
    with pytest.raises(InputError, match="layout.tensor"):
        preflight.memory_fits("sbp", 80 * preflight.GIB, 80)
    assert "60.0 of 80 GiB" in preflight.memory_fits("sbp", 50 * preflight.GIB, 80)


def test_runs_share_the_space_of_their_disk(tmp_path):
    free = 10**15
    half = {tmp_path / "a": free // 2}
    assert "more than" in preflight.checkpoints_fit(half, here=False)
    with pytest.raises(InputError, match="for checkpoints"):
        preflight.checkpoints_fit(half | {tmp_path / "b": free}, here=True)
    assert "has (" in preflight.checkpoints_fit({tmp_path / "a": 1, tmp_path / "b": 1}, here=True)


def test_documents_that_are_missing_or_that_not_all_nodes_see_are_refused_and_in_a_dry_run_told(tmp_path, capsys):
    settings = yaml.safe_load((EXPERIMENTS / "demo.yaml").read_text())
    settings["model"] = str(ROOT / "configs" / "models" / "tiny.yaml")
    shared, elsewhere = tmp_path / "shared", tmp_path / "elsewhere.jsonl"
    shared.mkdir()
    described = yaml.safe_load(H100.read_text()) | {"shared": [str(shared)], "gpus_per_node": 1, "nodes": 1}
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(described))

    def launch(*corpus: Path, folder: Path = shared / "x", dry_run: bool = False) -> tuple[int, str]:
        file = tmp_path / "experiment.yaml"
        file.write_text(yaml.safe_dump(settings | {"corpus": [str(path) for path in corpus]}))
        options = ["--cluster", str(tmp_path / "cluster.yaml"), *(["--dry-run"] if dry_run else [])]
        status = main(["launch", str(file), str(folder), *options])
        return status, "".join(capsys.readouterr())

    assert launch(elsewhere)[0] == 2
    assert f"corpus: found no {elsewhere}" in launch(elsewhere)[1]
    assert f"documents: {elsewhere}, not here, not on a shared disk" in launch(elsewhere, dry_run=True)[1]
    elsewhere.touch()
    (shared / "here.jsonl").touch()
    assert f"corpus.1: found {elsewhere}, expected a path in {shared}" in launch(shared / "here.jsonl", elsewhere)[1]
    assert "documents: " + str(shared / "here.jsonl") + "\n" in launch(shared / "here.jsonl", dry_run=True)[1]
    outside = launch(shared / "here.jsonl", folder=shared / ".." / "x")[1]
    assert f"found {tmp_path / 'x'}" in outside
    assert "expected a path in" in outside


def test_an_embedding_model_that_was_not_downloaded_is_told_before_its_job_looks_for_it(tmp_path, capsys):
    described = yaml.safe_load(H100.read_text())
    described["environment"]["HF_HOME"] = str(tmp_path / "hf")
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(described))
    arguments = ["launch", str(EXPERIMENTS / "sbp_1t.yaml"), LUSTRE, "--cluster", str(tmp_path / "cluster.yaml")]
    name = "Qwen/Qwen3-Embedding-0.6B"
    assert main([*arguments, "--dry-run"]) == 0
    assert f"embedding_model: {name}, not on this machine: `hf download {name}`\n" in capsys.readouterr().out
    repository = tmp_path / "hf" / "hub" / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "snapshots" / "abc" / "config.json").touch()
    assert main([*arguments, "--dry-run"]) == 0
    assert f"embedding_model: {name}\n" in capsys.readouterr().out


def test_a_run_longer_than_its_time_limit_is_started_several_times():
    assert preflight.starts_of(50.4, limit_seconds=86_400, notice=600) == 3
    assert preflight.starts_of(None, limit_seconds=86_400, notice=600) is None


def test_quality_that_was_found_wanting_is_refused_with_its_reasons(tmp_path):
    with pytest.raises(InputError, match="no verdict"):
        preflight.quality_allows(tmp_path)
    (tmp_path / "quality.json").write_text('{"verdict": {"go": false, "reasons": ["repetition: 9 %"]}}')
    with pytest.raises(InputError, match="repetition: 9 %"):
        preflight.quality_allows(tmp_path)
    (tmp_path / "quality.json").write_text('{"verdict": {"go": true, "reasons": []}}')
    assert preflight.quality_allows(tmp_path).startswith("go")


def test_a_board_that_cannot_be_reached_is_told(monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert "can't be reached" in preflight.wandb_says("online")
    assert preflight.wandb_says("offline") == "offline"


def test_a_launch_while_jobs_still_wait_for_one_that_has_failed_is_refused(tmp_path, monkeypatch):
    (tmp_path / "x" / "launch").mkdir(parents=True)
    graph = {"settings": "s", "stages": {"clean": {"job": "7"}, "split": {"job": "8"}}}
    (tmp_path / "x" / "launch" / "graph.json").write_text(json.dumps(graph))
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/bash\necho '8|PENDING'\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(InputError, match="found job 8, which waits for a job of stage clean that has failed"):
        planned(EXPERIMENTS / "sbp_1t.yaml", tmp_path)
    finish(tmp_path / "x", "clean")
    assert planned(EXPERIMENTS / "sbp_1t.yaml", tmp_path).live == {"split": "8"}


def test_what_was_launched_elsewhere_can_be_seen_where_there_is_no_slurm_and_is_not_launched_again(
    tmp_path, monkeypatch
):
    (tmp_path / "x" / "launch").mkdir(parents=True)
    (tmp_path / "x" / "launch" / "graph.json").write_text('{"settings": "s", "stages": {"clean": {"job": "7"}}}')
    monkeypatch.setenv("PATH", "/nowhere")
    config, cluster = load_experiment(EXPERIMENTS / "sbp_1t.yaml"), load_cluster(H100)
    plan = plan_experiment(config, tmp_path / "x", cluster, OF_DEMO, nodes=None, settings="s", dry_run=True)
    assert list(plan.jobs) == list(OF_DEMO)
    with pytest.raises(InputError, match="no squeue on this machine"):
        plan_experiment(config, tmp_path / "x", cluster, OF_DEMO, nodes=None, settings="s")
