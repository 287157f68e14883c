"""The batch script says what the cluster's file says, and nothing is written before it may be."""

import dataclasses
import subprocess
from pathlib import Path

import pytest
import yaml

from data_tools.errors import InputError
from launch import slurm
from launch.job import Job, render, require_notice, sbatch_options
from launch.submission import check_folders, keep, plan_job
from megatron_ext.cli.main import main
from megatron_ext.config import load_cluster, load_run
from tests.support import make_corpus, run_settings

CLUSTERS = sorted((Path(__file__).parents[2] / "configs" / "clusters").glob("*.yaml"))
PLAIN = {"partition": "batch", "gpus_per_node": 4, "cpus_per_rank": 6}


@pytest.fixture
def cluster(tmp_path):
    """A cluster's file with changes, loaded."""

    def load(**changes):
        path = tmp_path / "cluster.yaml"
        path.write_text(yaml.safe_dump(PLAIN | changes))
        return load_cluster(path)

    return load


@pytest.fixture
def job(tmp_path, cluster):
    def make(**changes):
        run = tmp_path / "a run"
        return Job(run=run, submission=run / "launch" / "0001", cluster=cluster(**changes), nodes=2, notice=90)

    return make


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("launch")
    settings = run_settings(make_corpus(folder), steps=20, checkpoint={"every": 5})
    settings["batch"]["global_batch"], settings["sources"]["real"]["tokens"] = 16, 20 * 256
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.mark.parametrize("path", CLUSTERS, ids=lambda path: path.stem)
def test_every_shipped_cluster_file_gives_a_script_that_bash_can_read(path, tmp_path):
    job = Job(run=tmp_path, submission=tmp_path / "0001", cluster=load_cluster(path), nodes=2, notice=60)
    checked = subprocess.run(["bash", "-n"], input=render(job), text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_one_task_on_a_node_starts_torchrun_with_all_cpus_of_its_ranks(job):
    script = render(job())
    assert {"#SBATCH --ntasks-per-node=1", "#SBATCH --cpus-per-task=24", "#SBATCH --gpus-per-node=4"} <= set(
        script.splitlines()
    )
    assert "-m torch.distributed.run" in script
    assert "--nnodes=2 --nproc-per-node=4" in script
    assert "srun --kill-on-bad-exit=1 --cpus-per-task=24" in script


def test_one_task_for_each_rank_starts_the_ranks_themselves(job):
    script = render(job(launcher="srun"))
    assert {"#SBATCH --ntasks-per-node=4", "#SBATCH --cpus-per-task=6"} <= set(script.splitlines())
    assert "export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS" in script
    assert "torch.distributed.run" not in script


def test_the_signal_comes_so_many_seconds_before_the_limit_to_the_script_alone(job):
    assert "--signal=B:USR1@90" in sbatch_options(job())


def test_what_only_this_cluster_needs_stands_in_the_script(job):
    changed = {"setup": ["module load cuda"], "environment": {"NCCL_IB_HCA": "mlx5_0,mlx5 1"}, "account": "physics",
               "exclude": ["n7", "n9"], "options": ["--exclusive"]}  # fmt: skip
    lines = render(job(**changed)).splitlines()
    wanted = ["module load cuda", "export NCCL_IB_HCA='mlx5_0,mlx5 1'", "#SBATCH --account=physics",
              "#SBATCH --exclude=n7,n9", "#SBATCH --exclusive"]  # fmt: skip
    assert [line for line in wanted if line not in lines] == []


@pytest.mark.parametrize(
    ("runtime", "wanted"),
    [("pyxis", '--container-image="img.sqsh" --container-mounts="/data:/data"'),
     ("apptainer", 'apptainer exec --nv --bind "/data:/data" "img.sqsh" python')],
)  # fmt: skip
def test_a_container_sees_the_shared_disks_under_their_own_paths(runtime, wanted, job):
    script = render(job(container={"image": "img.sqsh", "runtime": runtime}, shared=["/data"]))
    assert script.count(wanted) == 3  # of the ranks, of the look at their nodes, and of what decides on restarts


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"time_limit": 86400}, "time_limit"),
        ({"time_limit": "90 minutes"}, "hours:minutes:seconds"),
        ({"gpus_per_node": 0}, "no GPUs and no ranks_per_node"),
        ({"ranks_per_node": 8}, "8 ranks for 4 GPUs"),
        ({"shared": ["data"]}, "expected absolute folders"),
        ({"container": {"image": "img.sqsh"}}, "a container, and no shared folders"),
        ({"partion": "x"}, "Did you mean 'partition'?"),
    ],
)
def test_a_clusters_file_that_cannot_be_used_is_refused(changes, said, cluster):
    with pytest.raises(InputError) as error:
        cluster(**changes)
    assert said in str(error.value)


def test_a_time_limit_that_leaves_no_time_to_train_is_refused(job):
    with pytest.raises(InputError, match="of which the last 90 s are for saving"):
        require_notice(job(time_limit="00:02:00"))


def test_a_dry_run_shows_the_script_and_writes_nothing(run_file, tmp_path, capsys):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(yaml.safe_dump({**PLAIN, "gpus_per_node": 2, "gpu": "NVIDIA H200"}))
    run = tmp_path / "run"
    assert main(["launch", str(run_file), str(run), "--cluster", str(cluster), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("#!/bin/bash")
    assert "checkpoint_every: 5" in printed
    assert not run.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cluster.yaml"]


def test_gpus_that_the_layout_cannot_use_are_refused(run_file, tmp_path, capsys):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(yaml.safe_dump(PLAIN | {"gpus_per_node": 3}))
    assert main(["launch", str(run_file), str(tmp_path / "run"), "--cluster", str(cluster), "--dry-run"]) == 2
    assert "expected a multiple of 6" in capsys.readouterr().err


def test_a_run_folder_that_not_all_nodes_see_is_refused(run_file, cluster, tmp_path):
    job = plan_job(tmp_path / "run", cluster(shared=["/lustre"]), nodes=1)
    with pytest.raises(InputError, match="the run folder: found .*expected a path in /lustre"):
        check_folders(job, load_run(run_file))


def test_a_script_edited_after_its_submission_is_refused_and_so_is_a_run_that_is_told_to_stop(
    run_file, cluster, tmp_path
):
    config = load_run(run_file)
    job = plan_job(tmp_path / "run", cluster(), nodes=1)
    keep(job, config)
    from data_tools.files import content_hash

    script = job.submission / "job.sh"
    (job.submission / "submission.json").write_text(f'{{"job": "1", "script": "{content_hash(script)}"}}')
    check_folders(job, config)
    script.write_text(script.read_text() + "echo edited\n")
    with pytest.raises(InputError, match="edited after it was submitted"):
        check_folders(job, config)
    script.unlink()
    (job.run / "STOP").touch()
    with pytest.raises(InputError, match="tells the run to stop"):
        check_folders(job, config)


def test_a_submission_keeps_the_code_and_every_setting_of_the_run(run_file, cluster, tmp_path):
    config = load_run(run_file)
    job = plan_job(tmp_path / "run", cluster(), nodes=1)
    keep(job, config)
    assert load_run(job.submission / "run.yaml") == config
    assert load_cluster(job.submission / "cluster.yaml") == job.cluster
    code = job.submission / "code"
    assert (code / "megatron_ext" / "training" / "gpu_peaks.yaml").exists()
    assert (code / "launch" / "templates" / "job.sh.j2").exists()
    assert not list(code.rglob("__pycache__"))
    assert plan_job(tmp_path / "run", cluster(), nodes=1).submission.name == "0002"


def test_what_slurm_prints_is_understood():
    assert [slurm.seconds_of(text) for text in ("30:00", "1:00:00", "2-00:00:00", "infinite")] == [
        1800, 3600, 172_800, float("inf"),
    ]  # fmt: skip
    assert [slurm.gpus_of(text) for text in ("gpu:8", "gpu:h100:8(S:0-1)", "gpu:a:2,gpu:b:2", "(null)")] == [8, 8, 4, 0]


def test_without_slurm_a_launch_is_refused_and_told_of_the_dry_run(job, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="--dry-run"):
        slurm.partitions()


def test_a_slurm_that_does_not_answer_is_given_up_in_time():
    with pytest.raises(slurm.NoAnswerError, match="no answer of sleep in 1 s"):
        slurm.ask(["sleep", "9"], patience=1)
    with pytest.raises(slurm.NoAnswerError, match="ls ended with|cannot access"):
        slurm.ask(["ls", "/nowhere"])
    assert slurm.ask(["ls", "/nowhere"], gone="/nowhere") == ""


def test_a_jobs_nodes_and_ranks_multiply(job):
    assert job().ranks == 8
    assert dataclasses.replace(job(ranks_per_node=2), nodes=3).ranks == 6
