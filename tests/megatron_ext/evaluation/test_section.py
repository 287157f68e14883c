"""The section `evaluation:` of a run file."""

import pytest

from data_tools.errors import InputError
from megatron_ext.config import as_dict, load_run, run_from_dict

RUN = """
model: {layers: 2, hidden: 32, ffn: 64, heads: 4, kv_heads: 2, vocabulary: 512}
sources: {real: {corpus: corpus, tokens: 1024}}
batch: {sequence_length: 32, global_batch: 4}
schedule: {peak_lr: 0.001}
"""


def run(folder, section):
    path = folder / "run.yaml"
    path.write_text(RUN + section)
    return load_run(path)


def test_task_files_are_relative_to_the_run_file(tmp_path):
    config = run(tmp_path, "evaluation: {tasks: [tasks/sciq.jsonl], every: 50}")
    assert config.evaluation.tasks == (tmp_path / "tasks" / "sciq.jsonl",)
    assert config.evaluation.every == 50
    assert run_from_dict(as_dict(config), where="here") == config


def test_a_run_without_the_section_is_asked_nothing(tmp_path):
    assert run(tmp_path, "").evaluation is None


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ("evaluation: {tasks: [a/sciq.jsonl, b/sciq.jsonl], every: 50}", "two tasks named sciq"),
        ("evaluation: {tasks: [], every: 50}", "at least one"),
        ("evaluation: {tasks: [a.jsonl], every: 0}", "greater than 0"),
        ("evaluation: {tasks: [a.jsonl]}", "every"),
    ],
)
def test_a_section_that_cannot_be_used_is_refused_by_name(section, named, tmp_path):
    with pytest.raises(InputError, match=named):
        run(tmp_path, section)
