"""Benchmarks by lm-eval, a library, on an exported model: its tasks, its prompts, its metrics. In one process.

Data come from Hugging Face's hub, or from a folder that holds them as the hub has them, `NAME/SPLIT.parquet`, for
machines that can't reach it. Then a task is asked on the split that is there, and shots are drawn from the training
split or, without one, from other items of the same; the result names the split.
"""

import importlib.util
import os
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from data_tools.errors import InputError
from megatron_ext.evaluation.results import record_items, record_within

LIBRARIES = ("lm_eval", "accelerate")
"""The second is what the first needs for models of Hugging Face."""
SHOTS = {"arc_challenge": 0, "arc_easy": 0, "sciq": 0, "winogrande": 0, "triviaqa": 1, "webqs": 1}
"""As in Synthetic Bootstrapped Pretraining; other tasks have lm-eval's own number."""
SPLITS = ("test", "validation", "train")
"""The first that there is, is asked."""
METRICS = ("acc", "exact_match", "em", "f1", "perplexity")
"""The first that a task has is its number; the others stand beside it."""
ROWS_AT_ONCE = 8
"""On a CPU. On a GPU lm-eval finds out what fits."""


def require_benchmarks(names: Sequence[str], offline_data: Path | None) -> None:
    """Refuse benchmarks that can't be asked, before a model is exported.

    Raises:
        InputError: lm-eval isn't installed, has no such task, or the folder has no data for one.
    """
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            where="--benchmarks", found=f"no {missing[0]} on this machine", expected="lm-eval, with its benchmarks",
            fix="pip install 'megatron_ext[eval]', or ask task files with --tasks.",
        )  # fmt: skip
    for name in names if offline_data else ():
        if not _splits(offline_data, name):
            there = sorted(path.name for path in offline_data.iterdir()) if offline_data.is_dir() else []
            raise InputError(
                where=f"--offline-data {offline_data}", found=f"no data of {name}",
                expected=f"{name}/SPLIT.parquet with the columns of the hub; there are: {', '.join(there) or 'none'}",
                fix="Put its files there, ask fewer benchmarks, or leave the option out to load them from the hub.",
            )  # fmt: skip


def ask(
    run: Path,
    model: Path,
    names: Sequence[str],
    *,
    offline_data: Path | None = None,
    shots: int | None = None,
    most_items: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Ask a model benchmarks, and put what is found into the run's `results.json`.

    Args:
        run: whose results these are.
        model: its export.
        names: tasks of lm-eval.
        offline_data: folder with their data; None: the hub.
        shots: answered questions before each; None: as many as is usual.
        most_items: of each benchmark, its first so many; None: all.

    Returns:
        Name -> {"metric", "value", "stderr", "items", "shots", "by", "model", "others": metric -> value, "split"}.

    Raises:
        InputError: lm-eval has no such task.
    """
    if offline_data:
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from torch.cuda import is_available

    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        manager = TaskManager()
        _require_known(names, manager.all_tasks)
        if offline_data:
            for name in names:
                _localise(Path(scratch), name, Path(manager.task_index[name].yaml_path), offline_data)
            manager = TaskManager(include_path=scratch, include_defaults=False)
        rows, device = ("auto", "cuda") if is_available() else (ROWS_AT_ONCE, "cpu")
        language_model = HFLM(pretrained=str(model), dtype="auto", batch_size=rows, device=device)
        for name in names:
            given = SHOTS.get(name) if shots is None else shots
            everything = simple_evaluate(
                language_model, tasks=[name], num_fewshot=given, limit=most_items, task_manager=manager
            )  # fmt: skip
            found[name] = _described(everything, name) | {"model": model.name}
            if offline_data:
                found[name]["split"] = _splits(offline_data, name)[0]
            record_within(run, "benchmarks", {name: found[name]})
            record_items(run, f"benchmark-{name}", _items(everything["samples"].get(name, [])))
    return found


def _require_known(names: Sequence[str], known: Sequence[str]) -> None:
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise InputError(
            where="--benchmarks", found=unknown, expected="a task of lm-eval",
            fix="`lm-eval ls tasks` lists them.",
        )  # fmt: skip


def _splits(folder: Path, name: str) -> list[str]:
    return [split for split in SPLITS if (folder / name / f"{split}.parquet").is_file()]


def _localise(folder: Path, name: str, original: Path, data: Path) -> None:
    """Write lm-eval's task again with the data of a folder in place of the hub's."""
    there = _splits(data, name)
    settings = {
        "include": str(original),
        "task": name,
        "dataset_path": "parquet",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {split: str((data / name / f"{split}.parquet").resolve()) for split in there}},
        "fewshot_split": there[-1],
        "test_split": there[0],
        "validation_split": None,
        "training_split": None,
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings))


def _described(everything: dict[str, Any], name: str) -> dict[str, Any]:
    """Of lm-eval's result what stays: keys such as `acc,none` hold a metric and the filter of its answers."""
    values = {key.split(",")[0]: value for key, value in everything["results"][name].items() if "," in key}
    numbers = {key: value for key, value in values.items() if not key.endswith("_stderr")}
    metric = next((key for key in METRICS if key in numbers), next(iter(numbers)))
    stderr = values.get(f"{metric}_stderr")
    return {
        "metric": metric,
        "value": numbers[metric],
        "stderr": stderr if isinstance(stderr, float) else None,
        "items": everything["n-samples"][name]["effective"],
        "shots": everything["n-shot"][name],
        "by": f"lm-eval {metadata.version('lm-eval')}",
        "others": {key: value for key, value in numbers.items() if key != metric},
    }


def _items(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was found of every item: metrics, and log-probabilities or the text that was answered."""
    rows = []
    for sample in samples:
        answers = [answer[0] if isinstance(answer, tuple | list) else answer for answer in sample["filtered_resps"]]
        scored = all(isinstance(answer, float) for answer in answers)
        metrics = {name: sample[name] for name in sample["metrics"]}
        rows.append({"id": sample["doc_id"], "logprobs" if scored else "answers": answers, **metrics})
    return rows
