"""What SBP takes in compute beside its own training: known once it is done, expected before."""

from pathlib import Path
from typing import TYPE_CHECKING

from data_tools.corpus.manifest import is_finished, read_manifest

if TYPE_CHECKING:
    from megatron_ext.config import ExperimentConfig


def tuning_flops(config: "ExperimentConfig") -> int:
    """Of synthesizer-tuning."""
    from megatron_ext.plan.cost import training_flops

    return training_flops(config.model, config.tuning.tokens, config.tuning.batch.sequence_length)


def synthesis_tokens(config: "ExperimentConfig") -> int:
    """Written at most: filters keep fewer."""
    settings = config.synthesis
    return settings.budget_tokens or (settings.documents or 0) * settings.variants * settings.max_new_tokens


def synthesis_flops(config: "ExperimentConfig", corpus: Path | None = None) -> int:
    """Of a synthetic corpus, prompts and answers counted at their mean lengths; without one, of what is expected."""
    from megatron_ext.plan.cost import generation_flops

    if corpus is None or not is_finished(corpus):
        length = config.synthesis.max_new_tokens
        documents = -(-synthesis_tokens(config) // length)
        return generation_flops(config.model, prompt=length, new=length, documents=documents)
    made = read_manifest(corpus).counts
    requests = made["requests"]
    return generation_flops(
        config.model, prompt=round(made["prompt_tokens"] / requests),
        new=max(1, round(made["generated_tokens"] / requests)), documents=requests,
    )  # fmt: skip


def tokens_for_all_of_sbp(config: "ExperimentConfig", corpus: Path | None = None) -> int:
    """What the baseline can be trained on for all compute that SBP takes, in whole steps.

    That is the baseline that its synthesizer starts from, tuning, synthesis and its own training.
    """
    from megatron_ext.plan.cost import training_flops

    batch = config.batch
    of_arm = training_flops(config.model, config.budget_tokens, batch.sequence_length)
    total = 2 * of_arm + tuning_flops(config) + synthesis_flops(config, corpus)
    steps = round(total / of_arm * config.budget_tokens / batch.tokens_per_step)
    return steps * batch.tokens_per_step
