"""Folders of experiments as the stages leave them, small enough to know what a report has to say of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ARTIFACTS = ["clean", "pairs", "arms/baseline", "corpus_synthetic", "arms/sbp", "arms/oracle", "evaluation"]
WINDOW_TOKENS = 10
UNIQUE = {"baseline": 100, "sbp": 100, "oracle": 400}
"""Real tokens."""
STEPS = 2


def experiment(folder: Path, *, losses: Mapping[str, Sequence[float]], seed: int = 1, **described: Any) -> Path:
    """An experiment whose arms have these held-out losses, window by window."""
    about = {"name": "small", "seed": seed, "budget_tokens": 200, "artifacts": ARTIFACTS, "config": {"seed": seed}}
    write(folder / "experiment.json", about | described)
    for name, values in losses.items():
        run = folder / "arms" / name
        write(run / "plan.json", {"fingerprint": "x", "budget": budget(name)})
        write(run / "config.json", {"seed": seed, "sources": {"real": {"corpus": f"corpus of {name}", "tokens": 160}}})
        write(run / "manifest.json", manifest(step="train"))
        write_lines(run / "events.jsonl", [start(0), step(1, 3.0), step(2, 2.9)])
        measured(run, heldout=values)
    (folder / "corpus_synthetic").mkdir(exist_ok=True)
    return folder


def budget(name: str) -> dict[str, Any]:
    real = {"kind": "windows", "trained": 160, "unique": UNIQUE[name], "repeated": 60, "epochs": 1.6}
    sources = {"real": real}
    if name == "sbp":
        sources["synthetic"] = real | {"trained": 40, "unique": 40, "repeated": 0, "epochs": 0.9}
    return {"steps": STEPS, "tokens": 200, "flops": 10**9, "parameters": 10**6, "sources": sources}


def measured(run: Path, *, heldout: Sequence[float], **changes: Any) -> None:
    """Held-out losses by window, as `eval` leaves them."""
    values = np.array(heldout)
    loss = float(values.mean())
    found = {
        "loss": loss, "perplexity": float(np.exp(loss)), "tokens": WINDOW_TOKENS * len(values), "window": WINDOW_TOKENS,
        "stride": WINDOW_TOKENS, "corpus": "heldout", "hash": "h", "checkpoint": f"step_{STEPS:08}",
    }  # fmt: skip
    write(run / "results.json", results(run) | {"heldout": found | changes})
    rows = [
        {"id": number, "logprob": -WINDOW_TOKENS * value, "tokens": WINDOW_TOKENS}
        for number, value in enumerate(values.tolist())
    ]
    write_lines(run / "evaluation" / "heldout-windows.jsonl", rows)


def asked(run: Path, name: str, right: Sequence[bool], **changes: Any) -> None:
    """A task of choices, item by item."""
    found = {"acc": float(np.mean(right)), "answer_loss": 1.0, "items": len(right), "file": "f"} | changes
    before = results(run)
    write(run / "results.json", before | {"tasks": before.get("tasks", {}) | {name: found}})
    rows = [{"id": n, "logprobs": [-1.0], "tokens": [1], "right": {"acc": bool(yes)}} for n, yes in enumerate(right)]
    write_lines(run / "evaluation" / f"{name}.jsonl", rows)


def results(run: Path) -> dict[str, Any]:
    path = run / "results.json"
    return json.loads(path.read_text()) if path.exists() else {}


def manifest(**changes: Any) -> dict[str, Any]:
    return {
        "step": "x", "counts": {"documents": 1}, "seconds": 1.0, "command": "a command", "versions": {"python": "3"},
        "inputs": {}, "outputs": {}, "settings": {},
    } | changes  # fmt: skip


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_lines(path: Path, rows: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def start(at: int) -> dict[str, Any]:
    return {"event": "start", "step": at}


def step(number: int, loss: float) -> dict[str, Any]:
    return {"event": "step", "step": number, "tokens": 100 * number, "loss": loss}
