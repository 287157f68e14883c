"""The files of an experiment to one dictionary of numbers; what isn't there is listed, never made up."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.errors import InputError

ARMS = ("baseline", "sbp", "oracle")
STAGES = (
    "clean", "split", "tokenizer", "corpus_all", "corpus_subset", "corpus_heldout", "embeddings", "neighbors", "pairs",
    "arms/baseline", "synthesizer", "corpus_synthetic", "arms/sbp", "arms/oracle", "evaluation",
)  # fmt: skip
FILTERS = ("clean", "corpus_all", "corpus_subset", "corpus_heldout", "pairs", "corpus_synthetic")


@dataclass(frozen=True, slots=True)
class Curve:
    """The training loss of a run as it counts in the end, and where the run was taken up again."""

    points: list[list[float]]
    """[[tokens, loss], ...] by rising tokens."""
    restarted_at: list[float]
    """Tokens from which each later start went on."""


def collect(experiment: Path) -> dict[str, Any]:
    """All that the report says; see the module of the page for how it is shown."""
    described = _json(experiment / "experiment.json")
    manifests = {stage: found for stage in STAGES if (found := _json(experiment / stage / "manifest.json"))}
    arms = {name: arm for name in ARMS if (arm := _arm(experiment / "arms" / name))}
    synthesizer = _arm(experiment / "synthesizer")
    gap, why = gap_closed({name: arm["heldout_loss"] for name, arm in arms.items()})
    if len({arm["heldout_tokens"] for arm in arms.values()}) > 1 and gap is not None:
        gap, why = None, "The arms were evaluated on different held-out text, so their losses do not compare."
    return {
        "name": described["name"],
        "seed": described["seed"],
        "quick": described.get("quick", False),
        "budget_tokens": described["budget_tokens"],
        "missing": _missing(manifests, arms),
        "arms": arms,
        "gap_closed": gap,
        "gap_closed_why": why,
        "synthesizer": synthesizer,
        "cost": _json(experiment / "cost.json") or {"tuning_flops": None, "synthesis_flops": None},
        "filters": {stage: manifests[stage]["counts"] for stage in FILTERS if stage in manifests},
        "samples": list(_samples(experiment / "corpus_synthetic" / "samples.jsonl")),
        "stages": {
            stage: {"seconds": manifest["seconds"], "command": manifest["command"]}
            for stage, manifest in manifests.items()
        },
        "commands": {stage: manifest["command"] for stage, manifest in manifests.items()},
        "hashes": {
            stage: {"inputs": manifest["inputs"], "outputs": manifest["outputs"]}
            for stage, manifest in manifests.items()
        },
        "versions": next((manifest["versions"] for manifest in manifests.values()), {}),
        "tokenizer": manifests["corpus_all"]["settings"].get("tokenizer") if "corpus_all" in manifests else None,
        "config": described["config"],
    }


def gap_closed(losses: dict[str, float | None]) -> tuple[float | None, str]:
    """Share of the oracle's gain over the baseline that SBP reaches, in held-out loss; with a sentence.

    (baseline - sbp) / (baseline - oracle); None where an arm is missing or the oracle gains nothing.
    Source: SBP, the headline's "share of the oracle's gain", there of accuracies.
    """
    baseline, sbp, oracle = (losses.get(name) for name in ARMS)
    if baseline is None or sbp is None or oracle is None:
        return None, "An arm has not been evaluated."
    if oracle >= baseline:
        return None, "The oracle is not better than the baseline, so there is no gain to take a share of."
    return (baseline - sbp) / (baseline - oracle), "(baseline - SBP) / (baseline - oracle), held-out loss."


def read_curve(events: Path) -> Curve:
    """What events.jsonl says of a run's loss.

    A start takes back the steps after the one it goes on from: what is trained again is told once, and what isn't
    yet is not told. A last line without its end is left out, a kill may leave one.

    Raises:
        InputError: a line that no kill explains.
    """
    losses: dict[int, list[float]] = {}
    restarted_at: list[float] = []
    for number, event in enumerate(_rows(events)):
        if event["event"] == "step":
            losses[event["step"]] = [event["tokens"], event["loss"]]
        elif event["event"] == "start":
            losses = {step: point for step, point in losses.items() if step <= event["step"]}
            if number > 0:
                restarted_at.append(losses[max(losses)][0] if losses else 0)
    return Curve([losses[step] for step in sorted(losses)], restarted_at)


def _samples(path: Path) -> Iterator[dict[str, str]]:
    """Each synthetic document beside its seed."""
    for row in _rows(path):
        for document in row["documents"]:
            yield {"seed_name": row["seed_name"], "seed_text": row["seed_text"]} | document


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file, none if there is no such file; a last one without its end is left out."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            yield json.loads(line)
        except ValueError:
            raise InputError(
                where=f"{path}:{number}", found="a line that is not JSON", expected="the file as it was written",
                fix="The file was changed or damaged; take it from a copy of the folder.",
            ) from None  # fmt: skip


def _missing(manifests: dict[str, Any], arms: dict[str, Any]) -> list[str]:
    unmeasured = [f"held-out loss of {name}" for name, arm in arms.items() if arm["heldout_loss"] is None]
    return [stage for stage in STAGES if stage not in manifests] + unmeasured


def _arm(run: Path) -> dict[str, Any] | None:
    plan = _json(run / "plan.json")
    if plan is None:
        return None
    budget, heldout = plan["budget"], (_json(run / "results.json") or {}).get("heldout", {})
    sources = budget["sources"]
    curve = read_curve(run / "events.jsonl")
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
        "heldout_loss": heldout.get("loss"),
        "heldout_perplexity": heldout.get("perplexity"),
        "heldout_tokens": heldout.get("tokens"),
        "benchmarks": {},
        "curve": curve.points,
        "restarted_at": curve.restarted_at,
    }


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(
            where=str(path), found=f"no JSON ({error})", expected="the file as its stage wrote it",
            fix="Remove the stage's folder and run the demo again; finished stages are kept.",
        ) from None  # fmt: skip
