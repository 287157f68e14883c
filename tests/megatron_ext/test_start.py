"""A process that trains on a CPU begins within seconds: it loads nothing that takes long and isn't used."""

import shutil

import pytest

from tests.support import make_corpus, run_settings, start


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="for a GPU, Megatron-core compiles its functions")
def test_a_run_on_a_cpu_loads_no_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    process = start(tmp_path / "run", run_settings(make_corpus(tmp_path), steps=1))
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    assert "megatron.core.optimizer" in printed
    assert "torch._dynamo" not in printed
