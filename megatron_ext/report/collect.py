"""The files of an experiment to one dictionary of numbers; what isn't there is listed, never made up."""

import json
from pathlib import Path
from typing import Any

ARMS = ("baseline", "sbp", "oracle")
STAGES = (
    "clean", "split", "tokenizer", "corpus_all", "corpus_subset", "corpus_heldout", "embeddings", "neighbors", "pairs",
    "arms/baseline", "synthesizer", "export", "synthetic", "corpus_synthetic", "arms/sbp", "arms/oracle", "evaluation",
)  # fmt: skip
FILTERS = ("clean", "corpus_all", "pairs", "synthetic")


def collect(experiment: Path) -> dict[str, Any]:
    """All that the report says; see the module of the page for how it is shown."""
    described = json.loads((experiment / "experiment.json").read_text())
    manifests = {stage: found for stage in STAGES if (found := _json(experiment / stage / "manifest.json"))}
    arms = {name: arm for name in ARMS if (arm := _arm(experiment / "arms" / name))}
    synthesizer = _arm(experiment / "synthesizer")
    gap, why = gap_closed({name: arm["heldout_loss"] for name, arm in arms.items()})
    return {
        "name": described["name"],
        "seed": described["seed"],
        "quick": described.get("quick", False),
        "budget_tokens": described["budget_tokens"],
        "missing": [stage for stage in STAGES if stage not in manifests],
        "arms": arms,
        "gap_closed": gap,
        "gap_closed_why": why,
        "synthesizer": synthesizer,
        "cost": _json(experiment / "cost.json") or {"tuning_flops": None, "synthesis_flops": None},
        "filters": {stage: manifests[stage]["counts"] for stage in FILTERS if stage in manifests},
        "samples": _json(experiment / "synthetic" / "samples.json") or [],
        "stages": {
            stage: {"seconds": manifest["seconds"], "command": manifest["command"]}
            for stage, manifest in manifests.items()
        },
        "versions": next((manifest["versions"] for manifest in manifests.values()), {}),
        "tokenizer": next((manifests[s]["settings"]["tokenizer"] for s in ("corpus_all",) if s in manifests), None),
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


def read_curve(events: Path) -> tuple[list[list[float]], int]:
    """([[tokens, loss], ...], restarts): the later word on rewound steps counts, a torn last line is left out."""
    by_tokens: dict[int, float] = {}
    starts = 0
    for line in events.read_text().splitlines() if events.exists() else []:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event["event"] == "step":
            by_tokens[event["tokens"]] = event["loss"]
        starts += event["event"] == "start"
    return [[tokens, by_tokens[tokens]] for tokens in sorted(by_tokens)], max(0, starts - 1)


def _arm(run: Path) -> dict[str, Any] | None:
    plan = _json(run / "plan.json")
    if plan is None:
        return None
    budget, heldout = plan["budget"], (_json(run / "results.json") or {}).get("heldout", {})
    sources = budget["sources"]
    curve, restarts = read_curve(run / "events.jsonl")
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
        "curve": curve,
        "restarts": restarts,
    }


def _json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.is_file() else None
