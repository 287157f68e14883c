"""Facts of few words, and the settings of runs that are asked for them."""

import json
from pathlib import Path
from typing import Any

from tests.support import WORDS

KINDS = ("mem", "gen", "hard_gen")


def words(start: int, count: int) -> str:
    return " ".join(WORDS[(start + 3 * place) % len(WORDS)] for place in range(count))


def write_facts(path: Path, *, passages: int = 3) -> Path:
    """Passages with two probes of each kind, of lengths that differ."""
    rows = [
        {"train_context": words(number, 8), "paraphrases": [words(number + 1, 6)]}
        | {
            f"{kind}_input": [words(number + 4 * k + i, 2 + 3 * i + k) for i in range(2)]
            for k, kind in enumerate(KINDS)
        }
        | {f"{kind}_target": [words(number + 5 * k - i, 1 + i) for i in range(2)] for k, kind in enumerate(KINDS)}
        for number in range(passages)
    ]
    path.write_text(json.dumps(rows))
    return path


def knowledge(facts: Path, **changes: Any) -> dict[str, Any]:
    """A passage shown twice, one shown once, and one never."""
    return {
        "facts": str(facts), "steps": [1, 3], "groups": {"duplicated": "0", "once": "1"}, "probe": {"every": 2},
    } | changes  # fmt: skip
