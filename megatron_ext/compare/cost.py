"""What a comparison costs, arm by arm and in all, before anything is made or trained.

Steps, tokens and FLOPs follow from the file alone. How often a synthetic stream is read is known once its corpora are
there.
"""

from typing import Any

from data_tools.corpus.manifest import is_finished, read_manifest
from megatron_ext.compare.runs import REAL, SYNTHETIC, Comparison, PlannedRun
from megatron_ext.plan.cost import parameters, training_flops


def costs(comparison: Comparison) -> dict[str, Any]:
    """The budget, as plain values.

    Returns:
        {"name", "parameters", "steps_per_epoch", "tokens_per_step", "arms", "total"}; each arm (and point of the scan)
        has "runs" and, for one of these, "steps", "real_tokens" and "synthetic_tokens" (trained), "epochs" (of the
        real corpus), "synthetic_epochs" (None: not known yet), "flops". The total is over all runs.
    """
    config = comparison.config
    arms = {name: _cost(comparison, runs) for name, runs in comparison.arms.items()}
    arms |= {run.arm: _cost(comparison, [run]) for _, run in comparison.scan}
    keys = ("steps", "real_tokens", "synthetic_tokens", "flops")
    total = {"runs": sum(arm["runs"] for arm in arms.values())}
    total |= {key: sum(arm[key] * arm["runs"] for arm in arms.values()) for key in keys}
    return {
        "name": config.name, "parameters": parameters(config.model), "steps_per_epoch": config.steps_per_epoch,
        "tokens_per_step": config.batch.tokens_per_step, "arms": arms, "total": total,
    }  # fmt: skip


def _cost(comparison: Comparison, runs: list[PlannedRun]) -> dict[str, Any]:
    run = runs[0]
    config, synthetic = run.config, run.tokens.get(SYNTHETIC, 0)
    arm = comparison.config.arms.get(run.arm)
    held = _tokens_of_view(comparison, arm.view) if arm and arm.view else None
    return {
        "runs": len(runs), "steps": config.steps, "real_tokens": run.tokens[REAL], "synthetic_tokens": synthetic,
        "epochs": run.epochs, "synthetic_epochs": round(synthetic / held, 4) if held else None,
        "flops": training_flops(config.model, config.tokens, config.batch.sequence_length),
    }  # fmt: skip


def _tokens_of_view(comparison: Comparison, name: str) -> int | None:
    """Tokens of a view, made or still to be made; None where a corpus of it is missing.

    Thoughts lose their end tokens in a latent view, which is not known before it is made.
    """
    made, view = comparison.view(name), comparison.config.views[name]
    if is_finished(made):
        return int(read_manifest(made).counts["tokens"])
    corpora = [*view.synthetic] + [comparison.config.real] * (view.layout == "latent" or view.real != "absent")
    if view.layout == "latent" or not all(map(is_finished, corpora)):
        return None
    return sum(int(read_manifest(corpus).counts["tokens"]) for corpus in corpora)
