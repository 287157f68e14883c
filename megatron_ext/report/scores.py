"""What an arm was measured by: held-out text, task files, benchmarks; each with what was found of every item.

Of an accuracy an item's value is 1 if it was right. Of a perplexity it is a negative log-probability in nats, with the
tokens that it is of as a weight; the perplexity is the exponential of their quotient.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from megatron_ext.report.files import Files
from megatron_ext.report.paper import Kind

HELDOUT = "heldout"
ITEMS = "evaluation"
WHOLE_TARGETS = ("lambada",)
"""Tasks whose perplexity is that of a whole target, not of a token: a last word may have several."""


@dataclass(frozen=True)
class Score:
    """One figure of one arm."""

    name: str
    kind: Kind
    value: float
    """An accuracy is a share; of held-out text and tasks with a likelihood it is the perplexity."""
    items: int
    identity: dict[str, Any]
    """What has to be the same among arms for their figures to compare: text, items, shots, who asked."""
    values_I: np.ndarray = field(default_factory=lambda: np.zeros(0))
    weights_I: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Empty: nothing is known of single items."""

    def described(self) -> dict[str, Any]:
        """For report.json."""
        return {"value": self.value, "kind": self.kind, "items": self.items} | self.identity


def scores_of(run: Files) -> dict[str, Score]:
    """Name -> figure, of a run's `results.json` and the lines beside it."""
    found = run.made_of("results.json", lambda results: list(_scores(run, results)))
    return {score.name: score for score in found or ()}


def _scores(run: Files, results: dict[str, Any]) -> Iterator[Score]:
    heldout = results.get("heldout")
    if heldout:
        rows = run.lines(f"{ITEMS}/heldout-windows.jsonl", lambda row: (row["logprob"], row["tokens"]))
        yield _likelihood(HELDOUT, heldout, _same(heldout, "corpus", "hash", "tokens", "window", "stride"), rows)
    for reading, found in results.get("perplexity", {}).items():
        if not heldout or reading != heldout.get("corpus", reading):
            yield _likelihood(reading, found, _same(found, "corpus", "hash", "tokens", "window", "stride"), [])
    for name, found in results.get("tasks", {}).items():
        path, same = f"{ITEMS}/{name}.jsonl", _same(found, "file", "items")
        if "answer_loss" in found:  # choices; of last words, which have an accuracy too, the perplexity is told
            right = np.array(run.lines(path, lambda row: float(row["right"]["acc"])))
            yield Score(name, "accuracy", found["acc"], found["items"], same | {"metric": "acc"}, right, _ones(right))
        else:
            yield _likelihood(name, found, same, run.lines(path, lambda row: (row["logprobs"][0], row["tokens"][0])))
    for name, found in results.get("benchmarks", {}).items():
        yield _benchmark(run, name, found)


def _likelihood(name: str, found: dict[str, Any], same: dict[str, Any], rows: list[tuple[float, int]]) -> Score:
    """Rows are the log-probability and the tokens of each window, or of each target."""
    nats = -np.array([logprob for logprob, _ in rows], dtype=float)
    tokens = np.array([tokens for _, tokens in rows], dtype=float)
    whole = name in WHOLE_TARGETS and "target_perplexity" in found
    value = found["target_perplexity" if whole else "perplexity"]
    items = found.get("items", len(rows))
    return Score(name, "perplexity", value, items, same, nats, _ones(nats) if whole else tokens)


def _benchmark(run: Files, name: str, found: dict[str, Any]) -> Score:
    metric = found["metric"]
    kind: Kind = "perplexity" if metric == "perplexity" else "accuracy"
    path = f"{ITEMS}/benchmark-{name}.jsonl"
    values = np.array(run.lines(path, lambda row: float(row[metric])) if kind == "accuracy" else [])
    same = _same(found, "metric", "items", "shots", "by", "split")
    return Score(name, kind, found["value"], found["items"], same, values, _ones(values))


def _same(found: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: found[key] for key in keys if key in found}


def _ones(values: np.ndarray) -> np.ndarray:
    return np.ones_like(values)
