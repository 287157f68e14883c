"""Corpora of a tiny comparison, made once."""

from pathlib import Path

import pytest

from tests.megatron_ext.compare.support import make_corpora


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of them; `steps` in it says how many the real one is read in."""
    folder = tmp_path_factory.mktemp("comparison")
    (folder / "steps").write_text(str(make_corpora(folder)))
    return folder
