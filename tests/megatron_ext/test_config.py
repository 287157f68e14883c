"""Run and experiment files: what is read, and what is refused with its place and its remedy."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from data_tools.errors import InputError
from megatron_ext.config import as_dict, load_comparison, load_experiment, load_run, run_from_dict

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"

RUN = """\
model: {layers: 2, hidden: 64, ffn: 128, heads: 4, kv_heads: 2, vocabulary: 512}
sources:
  real:
    corpus: corpora/real
    tokens: 4096
batch:
  sequence_length: 64
  global_batch: 8
schedule: {peak_lr: 0.01, end_lr: 0.001, warmup: 0.1}
"""


@pytest.fixture
def refused(tmp_path):
    """The message with which a changed run file is refused."""

    def refuse(old: str, new: str) -> str:
        assert old in RUN
        path = tmp_path / "run.yaml"
        path.write_text(RUN.replace(old, new))
        with pytest.raises(InputError) as error:
            load_run(path)
        return str(error.value).replace(str(tmp_path), "")

    return refuse


@pytest.mark.parametrize("path", sorted((CONFIGS / "runs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_run_file_loads(path):
    assert load_run(path).steps > 0


@pytest.mark.parametrize("path", sorted((CONFIGS / "experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_experiment_file_loads(path):
    if path.stem.startswith("megadocs"):
        assert load_comparison(path).arms
    else:
        assert load_experiment(path).budget_tokens > 0


@pytest.mark.parametrize("path", sorted((CONFIGS / "models").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_model_file_can_be_named_in_a_run(path, tmp_path):
    lines = [f"model: {path}", *RUN.splitlines()[1:]]
    (tmp_path / "run.yaml").write_text("\n".join(lines))
    assert load_run(tmp_path / "run.yaml").model.layers == yaml.safe_load(path.read_text())["layers"]


def test_the_shipped_sbp_run_repeats_real_tokens_twelve_and_a_half_times():
    run = load_run(CONFIGS / "runs" / "sbp_3b_200b.yaml")
    assert run.sources["real"].tokens / 10e9 == pytest.approx(12.5, rel=1e-4)
    assert run.sources["synthetic"].max_epochs == 1
    assert run.tokens == pytest.approx(200e9, rel=1e-4)


def test_paths_in_a_file_are_relative_to_that_file(tmp_path):
    (tmp_path / "run.yaml").write_text(RUN)
    assert load_run(tmp_path / "run.yaml").sources["real"].corpus == tmp_path / "corpora" / "real"


def test_a_config_written_out_is_read_back_the_same(tmp_path):
    (tmp_path / "run.yaml").write_text(RUN)
    run = load_run(tmp_path / "run.yaml")
    assert run_from_dict(as_dict(run), where="config.json") == run


def test_a_config_cannot_be_changed_after_it_was_checked(tmp_path):
    (tmp_path / "run.yaml").write_text(RUN)
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_run(tmp_path / "run.yaml").seed = 2


def test_a_misspelt_key_is_refused_with_its_line_and_the_nearest_key(refused):
    message = refused("global_batch: 8", "global_bach: 8")
    assert message.startswith("/run.yaml:8, key 'batch.global_bach'")
    assert "Did you mean 'global_batch'?" in message


def test_a_misspelt_key_of_a_source_is_refused_with_the_nearest_key(refused):
    assert "Did you mean 'max_epochs'?" in refused("tokens: 4096", "tokens: 4096\n    max_epoch: 1")


def test_1e_2_which_yaml_reads_as_text_is_refused_with_the_number_to_write(refused):
    message = refused("peak_lr: 0.01", "peak_lr: 1e-2")
    assert "key 'schedule.peak_lr': found the text '1e-2', expected a number" in message
    assert "write 0.01" in message


def test_a_last_step_with_fewer_samples_is_trained_too(tmp_path):
    (tmp_path / "run.yaml").write_text(RUN.replace("tokens: 4096", "tokens: 4160"))
    run = load_run(tmp_path / "run.yaml")
    assert (run.samples, run.steps) == (65, 9)


def test_a_ramp_moves_the_ends_of_steps_only(tmp_path):
    ramp = "ramp: [{until_tokens: 1000, global_batch: 2}, {until_tokens: 2048, global_batch: 4}]"
    (tmp_path / "run.yaml").write_text(RUN.replace("global_batch: 8", f"global_batch: 8\n  {ramp}"))
    run = load_run(tmp_path / "run.yaml")
    # 1,000 tokens are 15.6 samples: 8 steps of 2; then 16 more samples in 4 steps of 4; then 32 in 4 of 8.
    assert [run.batch.first_sample(step) for step in (0, 1, 8, 9, 12, 13)] == [0, 2, 16, 20, 32, 40]
    assert run.samples == 64
    assert run.steps == 16


PHASES = """\
  real:
    corpus: corpora/real
  synthetic:
    corpus: corpora/synthetic
    max_epochs: 1
phases:
  - tokens: {real: 4096}
    stop: 2048
  - tokens: {real: 2048, synthetic: 1024}
"""


def test_phases_are_read_one_after_the_other(tmp_path):
    (tmp_path / "run.yaml").write_text(RUN.replace("  real:\n    corpus: corpora/real\n    tokens: 4096\n", PHASES))
    run = load_run(tmp_path / "run.yaml")
    assert run.tokens == 2048 + 3072
    assert run_from_dict(as_dict(run), where="config.json") == run


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    max_epochs: 1", "    tokens: 64", "beside phases"),
        ("synthetic: 1024", "sinthetic: 1024", "no source"),
        (", synthetic: 1024", "", "in no phase"),
        ("real: 2048", "real: 2050", "2048 or 2112"),
    ],
)
def test_phases_that_do_not_fit_their_sources_are_refused(refused, old, new, said):
    assert said in refused("  real:\n    corpus: corpora/real\n    tokens: 4096\n", PHASES.replace(old, new))


def test_a_source_of_broken_rows_is_refused_with_the_nearest_that_fit(refused):
    assert "4096 or 4160" in refused("tokens: 4096", "tokens: 4100")


def test_a_key_given_twice_is_refused_with_both_lines(refused):
    message = refused("  global_batch: 8", "  global_batch: 8\n  global_batch: 16")
    assert message.startswith("/run.yaml:9, key 'batch.global_batch'")
    assert "line 8" in message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kv_heads: 2", "kv_heads: 3", "heads 4"),
        ("hidden: 64", "hidden: 60", "hidden 60"),
        ("end_lr: 0.001", "end_lr: 0.1", "end_lr 0.1 above peak_lr 0.01"),
        ("peak_lr: 0.01", "peak_lr: .nan", "found NaN"),
        ("warmup: 0.1", "warmup: 5", "less than or equal to 1"),
        ("layers: 2", "layers: two", "integer"),
        ("layers: 2", "layers: 2.0", "integer"),
        ("layers: 2", "layers: true", "integer"),
        ("warmup: 0.1", "warmup: {steps: 3, tokens: 4}", "one of share, steps, tokens"),
        ("schedule:", "layout: {chunks: 2}\nschedule:", "pipeline of at least 2"),
        ("schedule:", "layout: {sequence_parallel: true}\nschedule:", "tensor of at least 2"),
        ("vocabulary: 512", "vocabulary: 512, head_dim: 7", "head_dim 7"),
        ("global_batch: 8", "global_batch: 8\n  micro_batch: 3", "a multiple of 3"),
        ("tokens: 4096", "tokens: 4096\n    kind: pairs", "without a folder of pairs"),
        ("tokens: 4096", "tokens: 4096\n    kind: pair", "'windows', 'pairs' or 'megadocs'"),
        ("    tokens: 4096\n", "", "no tokens for real"),
        ("schedule:", "layout: {tensor: 4}\nschedule:", "kv_heads 2"),
        ("schedule:", "tracking: {wandb: off}\nschedule:", "quote"),
        ("schedule: {", "schedule: [{", "expected valid YAML"),
        (RUN, "", "an empty file"),
        (RUN, "- a\n- b\n", "a list"),
    ],
)
def test_what_cannot_be_used_is_refused_in_the_users_words(refused, old, new, said):
    assert said in refused(old, new)


def test_a_missing_run_file_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"absent\.yaml: found no such file"):
        load_run(tmp_path / "absent.yaml")


def test_an_error_in_a_model_file_names_the_model_file(tmp_path):
    (tmp_path / "model.yaml").write_text("layers: 2\nhiden: 64\n")
    (tmp_path / "run.yaml").write_text("\n".join(["model: model.yaml", *RUN.splitlines()[1:]]))
    with pytest.raises(InputError, match=r"model\.yaml:2, key 'hiden'.*\n.*'hidden'"):
        load_run(tmp_path / "run.yaml")


def test_an_experiment_whose_budget_is_no_whole_number_of_steps_is_refused(tmp_path):
    values = as_dict(load_experiment(CONFIGS / "experiments" / "demo.yaml"))
    (tmp_path / "demo.yaml").write_text(yaml.safe_dump({**values, "budget_tokens": 409_601}))
    with pytest.raises(InputError, match="409600 or 413696"):
        load_experiment(tmp_path / "demo.yaml")


def test_reading_a_config_loads_neither_numpy_nor_torch():
    code = "import sys, megatron_ext.config; print({'numpy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
