"""One arm of an experiment, from its run's folder: what it trained on, how its loss came down, what it is worth."""

from dataclasses import dataclass
from typing import Any

from megatron_ext.report.files import Files
from megatron_ext.report.scores import HELDOUT, Score, scores_of

NOT_METRICS = ("event", "time", "step", "tokens", "seconds")


@dataclass(frozen=True, slots=True)
class Curve:
    """The training loss of a run as it counts in the end, and where the run was taken up again."""

    points: list[list[float]]
    """[[tokens, loss], ...] by rising tokens."""
    restarted_at: list[float]
    """Tokens from which each later start went on."""
    evaluations: dict[str, list[list[float]]]
    """Task and metric -> [[tokens, value], ...] of the live model."""


@dataclass(frozen=True, slots=True)
class Arm:
    """What is known of it."""

    numbers: dict[str, Any]
    """As report.json has them."""
    scores: dict[str, Score]
    config: dict[str, Any]
    finished: bool
    """Whether the run has reached its last step."""


def read_arm(run: Files) -> Arm | None:
    """The arm of a run folder; None if it has no plan yet."""
    numbers = run.made_of("plan.json", lambda plan: _planned(plan["budget"]))
    if numbers is None:
        return None
    curve, scores = read_curve(run), scores_of(run)
    results = run.json("results.json") or {}
    heldout = results.get("heldout") or {} if HELDOUT in scores else {}
    numbers |= {
        "heldout_loss": heldout.get("loss"),
        "heldout_perplexity": heldout.get("perplexity"),
        "heldout_tokens": heldout.get("tokens"),
        "bits_per_byte": heldout.get("bits_per_byte"),
        "checkpoint": heldout.get("checkpoint"),
        "benchmarks": {name: score.described() for name, score in scores.items() if name != HELDOUT},
        "curve": curve.points,
        "restarted_at": curve.restarted_at,
        "evaluations": curve.evaluations,
    }
    return Arm(numbers, scores, run.json("config.json") or {}, run.json("manifest.json") is not None)


def read_curve(run: Files) -> Curve:
    """What events.jsonl says of a run's losses.

    A start takes back the steps after the one it goes on from: what is trained again is told once, and what isn't
    yet is not told.
    """
    losses: dict[int, list[float]] = {}
    measured: dict[int, dict[str, Any]] = {}
    restarted_at: list[float] = []
    for number, event in enumerate(run.lines("events.jsonl")):
        name, step = event.get("event"), event.get("step")
        if name == "step":
            losses[step] = [event["tokens"], event["loss"]]
        elif name == "evaluation":
            measured[step] = event
        elif name == "start":
            losses = {at: point for at, point in losses.items() if at <= step}
            measured = {at: found for at, found in measured.items() if at <= step}
            if number > 0:
                restarted_at.append(losses[max(losses)][0] if losses else 0)
    evaluations: dict[str, list[list[float]]] = {}
    for step in sorted(measured):
        for metric, value in measured[step].items():
            if metric not in NOT_METRICS:
                evaluations.setdefault(metric, []).append([measured[step]["tokens"], value])
    return Curve([losses[step] for step in sorted(losses)], restarted_at, evaluations)


def _planned(budget: dict[str, Any]) -> dict[str, Any]:
    sources = budget["sources"]
    return {
        "tokens": {
            "unique": sum(source["unique"] for source in sources.values()),
            "repeated": sum(source["repeated"] for source in sources.values()),
            "synthetic": sum(source["trained"] for name, source in sources.items() if name == "synthetic"),
            "trained": budget["tokens"],
        },
        "sources": sources,
        "epochs": {name: source["epochs"] for name, source in sources.items()},
        "steps": budget["steps"],
        "flops": budget["flops"],
        "parameters": budget["parameters"],
    }
