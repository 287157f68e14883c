"""Everything about an evaluation that can be refused before a process starts. No torch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.errors import InputError
from data_tools.text.tokenizer import HF_MODEL, MODEL, Tokenizer
from megatron_ext.config import RunConfig, as_dict, run_from_dict
from megatron_ext.convert.record import RECORD, read_record
from megatron_ext.evaluation.tasks import Task, read_task, spans_of


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of each run."""

    heldout: Path | None = None
    """Corpus folder."""
    stride: int | None = None
    """Tokens between windows; None: they don't overlap."""
    by_document: bool = False
    tasks: Sequence[Path] = ()
    """Task files."""
    most_items: int | None = None
    """Of each task, its first so many."""

    @property
    def is_plain(self) -> bool:
        """Whether the corpus is read as one stream in windows that don't overlap: what reports compare."""
        return self.stride is None and not self.by_document

    @property
    def reading(self) -> str:
        """Corpus and how it is read, as results name it."""
        name = "" if self.heldout is None else self.heldout.resolve().name
        return name + f", stride {self.stride}" * bool(self.stride) + ", by document" * self.by_document


def check_inputs(runs: list[Path], heldout: Path) -> tuple[list[RunConfig], IndexedCorpus]:
    """The runs' configs and the opened corpus.

    Raises:
        InputError: a run or the corpus is missing, or the runs differ in layout.
    """
    return configs_of(runs), IndexedCorpus(heldout / CORPUS_PREFIX)


def configs_of(runs: Sequence[Path]) -> list[RunConfig]:
    """The configs of runs, and of imported models as if they were runs.

    Raises:
        InputError: a run is missing, or the runs differ in layout.
    """
    configs = [_config_of(run) for run in runs]
    layouts = {config.layout for config in configs}
    if len(layouts) != 1:
        raise InputError(
            where="runs", found=f"{len(layouts)} different layouts", expected="runs of one layout",
            fix="Evaluate them apart.",
        )  # fmt: skip
    return configs


def tokenizer_of(config: RunConfig, *, where: str) -> Tokenizer:
    """The tokenizer that a run names, or that lies beside the tokens of one of its corpora.

    Raises:
        InputError: there is none.
    """
    corpora = [source.corpus for source in config.sources.values()]
    named = [config.tokenizer] if config.tokenizer else []
    folders = [*named, *(folder for folder in corpora if has_tokenizer(folder))]
    if not folders:
        raise InputError(
            where=where, found="no tokenizer: neither the run nor its corpora have one",
            expected="the tokenizer that the model was trained with", fix="Name its folder with `tokenizer:`.",
        )  # fmt: skip
    return Tokenizer.load(folders[0], threads=False)  # every rank encodes


def require_stride(stride: int | None, config: RunConfig) -> None:
    """Refuse windows that would leave tokens out between them.

    Raises:
        InputError: they would.
    """
    window = config.batch.sequence_length
    if stride is not None and stride > window:
        raise InputError(
            where="--stride", found=str(stride), expected=f"at most {window}, the tokens of a row of the run",
            fix="Choose a smaller stride, such as half of that.",
        )  # fmt: skip


def has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (MODEL, HF_MODEL))


def read_tasks(files: Sequence[Path], *, most_items: int | None = None) -> list[Task]:
    """The tasks of files, each named after its own.

    Raises:
        InputError: one can't be used, or two have the same name.
    """
    tasks = [read_task(file, most_items=most_items) for file in files]
    names = [task.name for task in tasks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            where="--tasks", found=f"two tasks named {twice}", expected="files of different names",
            fix="Rename one of the files.",
        )  # fmt: skip
    return tasks


def require_tasks(config: RunConfig) -> None:
    """Refuse a run whose tasks can't be asked, before it is started; a run without any is fine.

    Raises:
        InputError: a task file can't be used, or there is no tokenizer.
    """
    if config.evaluation is not None:
        require_askable(config, read_tasks(config.evaluation.tasks, most_items=config.evaluation.most_items))


def require_askable(config: RunConfig, tasks: Sequence[Task], *, where: str = "tokenizer") -> None:
    """Refuse tasks whose targets have no token in this run's tokenizer.

    Raises:
        InputError: there is one, or no tokenizer.
    """
    tokenizer = tokenizer_of(config, where=where)
    for task in tasks:
        spans_of(task, tokenizer, most=config.batch.sequence_length)


def _config_of(run: Path) -> RunConfig:
    if (run / RECORD).is_file():
        return _as_a_run(run)
    path = run / "config.json"
    try:
        settings = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(
            where=str(path), found="no such file", expected="the config of a run", fix="Name a run's folder."
        ) from None
    return run_from_dict(settings, where=str(path))


def _as_a_run(imported: Path) -> RunConfig:
    """An imported model as a run of one process, with rows as long as its context. Nothing of it is ever trained."""
    record = read_record(imported)
    settings = {
        "model": as_dict(record.model),
        "precision": record.precision,
        "tokenizer": record.tokenizer and str(record.tokenizer),
        "batch": {"sequence_length": record.context, "global_batch": 1},
        "sources": {"none": {"corpus": str(imported), "tokens": record.context}},
        "schedule": {"peak_lr": 1e-9},
    }
    return run_from_dict(settings, where=str(imported / RECORD))
