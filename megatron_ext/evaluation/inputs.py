"""Everything about an evaluation that can be refused before a process starts. No torch."""

import json
from pathlib import Path

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.errors import InputError
from megatron_ext.config import RunConfig, run_from_dict


def check_inputs(runs: list[Path], heldout: Path) -> tuple[list[RunConfig], IndexedCorpus]:
    """The runs' configs and the opened corpus.

    Raises:
        InputError: a run or the corpus is missing, or the runs differ in layout.
    """
    configs = [_config_of(run) for run in runs]
    layouts = {config.layout for config in configs}
    if len(layouts) != 1:
        raise InputError(
            where="runs", found=f"{len(layouts)} different layouts", expected="runs of one layout",
            fix="Evaluate them apart.",
        )  # fmt: skip
    return configs, IndexedCorpus(heldout / CORPUS_PREFIX)


def _config_of(run: Path) -> RunConfig:
    path = run / "config.json"
    try:
        settings = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(
            where=str(path), found="no such file", expected="the config of a run", fix="Name a run's folder."
        ) from None
    return run_from_dict(settings, where=str(path))
