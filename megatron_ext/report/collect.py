"""The files of an experiment to one dictionary of numbers; what isn't there is listed, never made up.

docs/formats.md lists its keys. Of several seeds the first experiment is described, and figures are means over all.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from megatron_ext.report.arms import Arm, read_arm
from megatron_ext.report.budgets import compute
from megatron_ext.report.differences import differences
from megatron_ext.report.files import Files
from megatron_ext.report.findings import benchmark_rows, gains
from megatron_ext.report.flags import flags_of
from megatron_ext.report.scores import HELDOUT
from megatron_ext.report.seeds import ARMS, Seeds

LONGER = "baseline_flops"
"""The baseline trained on for as much compute as SBP takes in all, where an experiment has it."""
ALL_ARMS = (*ARMS, LONGER)
SYNTHESIZER = "synthesizer"
QUALITY, MIDEVAL = "quality", "mideval"
OF_A_SEED = ("seed", "name")
"""Settings in which the same experiment differs from seed to seed."""


def collect(experiment: Path, others: Sequence[Path] = ()) -> dict[str, Any]:
    """All that the report says; see the module of the page for how it is shown.

    Args:
        experiment: folder of the experiment.
        others: folders of the same experiment with other seeds.

    Raises:
        InputError: a folder is not an experiment's, or the others are not the same experiment.
    """
    files, described = _opened(experiment)
    stages = {
        name: made for name in described["artifacts"] if (made := files.made_of(f"{name}/manifest.json", _manifest))
    }
    arms = _arms(files)
    joined = _others(described, others)
    seeds = Seeds({str(described["seed"]): _matched(arms)} | {seed: _matched(own) for seed, (_, own) in joined.items()})
    synthesizer = read_arm(files.at(SYNTHESIZER))
    quality = files.made_of(f"{QUALITY}/quality.json", _quality)
    cost = files.json("cost.json") or {"tuning_flops": None, "synthesis_flops": None}
    found = gains(seeds)
    report = {
        "name": described["name"],
        "seed": described["seed"],
        "seeds": list(seeds.arms),
        "quick": described["quick"],
        "budget_tokens": described["budget_tokens"],
        "missing": _missing(described["artifacts"], stages, arms) + _missing_of(joined),
        "flags": flags_of(_matched(arms), files, quality) + _flags_of(joined),
        "arms": {name: _with_seeds(arm, name, seeds) for name, arm in arms.items()},
        "gap_closed": found["loss"]["share"]["value"],
        "gap_closed_why": found["loss"]["why"],
        "gains": found,
        "benchmarks": benchmark_rows(seeds),
        "compute": compute({name: arm.numbers for name, arm in arms.items()}, cost, longer=LONGER),
        "synthesizer": synthesizer and synthesizer.numbers,
        "cost": cost,
        "quality": quality,
        "mideval": files.made_of(f"{MIDEVAL}/quality/quality.json", _quality),
        "filters": {name: made["counts"] for name, made in stages.items() if _drops(made["counts"])},
        "samples": _samples(files),
        "stages": {name: {key: made[key] for key in ("seconds", "command")} for name, made in stages.items()},
        "commands": {name: made["command"] for name, made in stages.items()},
        "hashes": {name: {key: made[key] for key in ("inputs", "outputs")} for name, made in stages.items()},
        "versions": next((made["versions"] for made in stages.values()), {}),
        "tokenizer": stages.get("corpus_all", {}).get("settings", {}).get("tokenizer"),
        "differences": differences({name: arm.config for name, arm in arms.items()}),
        "config": described["config"],
    }
    broken = [sentence for own in (files, *(own for own, _ in joined.values())) for sentence in own.broken]
    return report | {"broken": broken}  # once everything has been read


def _opened(experiment: Path) -> tuple[Files, dict[str, Any]]:
    files = Files(experiment)
    described = files.json("experiment.json")
    if described is None:
        raise InputError(
            where=str(experiment / "experiment.json"), found=files.broken[0] if files.broken else "no such file",
            expected="the folder of an experiment",
            fix="Name a folder that `megatron-ext demo` or `launch` wrote, such as runs/demo. Of a comparison "
            "`megatron-ext compare` writes the page.",
        )  # fmt: skip
    return files, {"quick": False, "artifacts": [], "config": {}} | described


def _manifest(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("counts", "seconds", "command", "versions", "inputs", "outputs", "settings")}


def _quality(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("documents", "judge", "verdict", "measures", "paper")}


def _arms(files: Files) -> dict[str, Arm]:
    return {name: arm for name in ALL_ARMS if (arm := read_arm(files.at(f"arms/{name}")))}


def _matched(arms: Mapping[str, Arm]) -> dict[str, Arm]:
    """Those that share a budget."""
    return {name: arm for name, arm in arms.items() if name in ARMS}


def _others(first: Mapping[str, Any], others: Sequence[Path]) -> dict[str, tuple[Files, dict[str, Arm]]]:
    """Seed -> files and arms, of the same experiment with other seeds."""
    found: dict[str, tuple[Files, dict[str, Arm]]] = {}
    for folder in others:
        files, described = _opened(folder)
        rows = differences({"a": first["config"], "b": described["config"]})
        differing = [row["setting"] for row in rows if row["setting"] not in OF_A_SEED]
        same = str(described["seed"]) in (str(first["seed"]), *found)
        if same or differing:
            raise InputError(
                where=str(folder),
                found=f"seed {described['seed']} again" if same else f"other settings: {', '.join(differing[:5])}",
                expected="the same experiment with another seed", fix="Name folders that differ in their seed alone.",
            )  # fmt: skip
        found[str(described["seed"])] = files, _arms(files)
    return found


def _missing_of(others: Mapping[str, tuple[Files, dict[str, Arm]]]) -> list[str]:
    return [
        f"seed {seed}: held-out loss of {name}"
        for seed, (_, arms) in others.items() for name in ARMS if name not in arms or HELDOUT not in arms[name].scores
    ]  # fmt: skip


def _flags_of(others: Mapping[str, tuple[Files, dict[str, Arm]]]) -> list[str]:
    return [
        f"Seed {seed}: {flag}"
        for seed, (files, arms) in others.items() for flag in flags_of(_matched(arms), files, None)
    ]  # fmt: skip


def _with_seeds(arm: Arm, name: str, seeds: Seeds) -> dict[str, Any]:
    """The numbers of the first seed, and what is a mean over all."""
    if name not in ARMS or len(seeds.arms) == 1:
        return arm.numbers
    losses = {seed: arms[name].numbers["heldout_loss"] for seed, arms in seeds.arms.items() if name in arms}
    return arm.numbers | {"losses": losses, "heldout_loss": seeds.loss(name)}


def _drops(counts: Mapping[str, Any]) -> bool:
    return any(name.startswith("dropped_") and isinstance(value, int) for name, value in counts.items())


def _samples(files: Files) -> list[dict[str, Any]]:
    """Each synthetic document beside its seed."""
    return [
        {"seed_name": row["seed_name"], "seed_text": row["seed_text"]} | document
        for row in files.lines("corpus_synthetic/samples.jsonl")
        for document in row["documents"]
    ]


def _missing(artifacts: Sequence[str], stages: Mapping[str, Any], arms: Mapping[str, Arm]) -> list[str]:
    unmeasured = [f"held-out loss of {name}" for name, arm in arms.items() if HELDOUT not in arm.scores]
    return [name for name in artifacts if name not in stages] + unmeasured
