"""From log-probabilities to the numbers of a task. No torch.

A choice is right by `acc` if it has the greatest log-probability of all, by `acc_norm` if it has per character, by
`acc_bytes` per byte of UTF-8; ties go to the first. These are lm-eval's definitions, as are the standard errors.

Shape suffixes: C everything that is scored, item after item and choice after choice.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from megatron_ext.evaluation.tasks import Item, Task

LENGTHS: Mapping[str, Callable[[str], float]] = {
    "acc": lambda _text: 1.0,
    "acc_norm": lambda text: float(len(text)),
    "acc_bytes": lambda text: float(_bytes(text)),
}
"""Metric -> what log-probabilities are divided by."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a model makes of the targets of a task."""

    logprobs_C: np.ndarray
    """Log-probability of each, in nats."""
    tokens_C: np.ndarray
    """Tokens of each."""
    written_C: np.ndarray | None = None
    """Whether the model would write it, each token being the only likeliest; None where that isn't asked."""


def scored(task: Task, found: Found) -> dict[str, float]:
    """The numbers of a task.

    Returns:
        Of choices: "acc", "acc_norm", "acc_bytes", each also with "_stderr"; "answer_loss" (nats per token of the right
        answers) and "answer_bits_per_byte". Of texts: "loss" (nats per token), "perplexity", "target_perplexity" (of a
        whole target: what is reported for last words), "bits_per_byte", "tokens", and of last words "acc" with
        "acc_stderr": the share that the model would write. Always "items".
    """
    logprobs_C, tokens_C = found.logprobs_C, found.tokens_C
    items = list(_by_item(task, logprobs_C))
    if task.kind == "text":
        per_target = math.exp(min(700.0, -float(logprobs_C.mean())))
        return {
            **({} if found.written_C is None else _accuracy("acc", found.written_C.tolist())),
            **_likelihood(float(logprobs_C.sum()), int(tokens_C.sum()), [item.targets[0] for item in task.items]),
            "target_perplexity": per_target, "tokens": int(tokens_C.sum()), "items": len(items),
        }  # fmt: skip
    scores: dict[str, float] = {}
    for metric in LENGTHS:
        scores |= _accuracy(metric, [chosen(item, values, metric) == item.answer for item, values in items])
    answers = np.concatenate([np.arange(len(values)) == item.answer for item, values in items])
    right = _likelihood(
        float(logprobs_C[answers].sum()), int(tokens_C[answers].sum()),
        [item.targets[item.answer or 0] for item in task.items],
    )  # fmt: skip
    return {**scores, "answer_loss": right["loss"], "answer_bits_per_byte": right["bits_per_byte"], "items": len(items)}


def chosen(item: Item, logprobs: np.ndarray, metric: str) -> int:
    """Number of the choice that the model prefers."""
    return int(np.argmax(np.asarray(logprobs) / [LENGTHS[metric](target) for target in item.targets]))


def details(task: Task, found: Found) -> Iterator[dict[str, Any]]:
    """What was found of each item, for whoever looks closer: a line of `<run>/evaluation/<task>.jsonl`."""
    both = zip(_by_item(task, found.logprobs_C), _by_item(task, found.tokens_C), strict=True)
    for number, ((item, values), (_, tokens)) in enumerate(both):
        right: dict[str, Any] = {}
        if item.answer is not None:
            metrics = {metric: chosen(item, values, metric) == item.answer for metric in LENGTHS}
            right = {"answer": item.answer, "right": metrics}
        elif found.written_C is not None:
            right = {"right": {"acc": bool(found.written_C[number])}}
        yield {"id": item.name, "logprobs": [float(value) for value in values], "tokens": tokens.tolist(), **right}


def bits_per_byte(nats: float, size: int) -> float:
    """Of a text of so many bytes that was predicted with so many nats in all."""
    return nats / math.log(2) / max(1, size)


def _by_item(task: Task, values_C: np.ndarray) -> Iterator[tuple[Item, np.ndarray]]:
    start = 0
    for item in task.items:
        yield item, values_C[start : start + len(item.targets)]
        start += len(item.targets)


def _likelihood(logprob: float, tokens: int, texts: list[str]) -> dict[str, float]:
    loss = -logprob / tokens
    return {
        "loss": loss, "perplexity": math.exp(min(700.0, loss)),
        "bits_per_byte": bits_per_byte(-logprob, sum(map(_bytes, texts))),
    }  # fmt: skip


def _accuracy(metric: str, right: Sequence[bool]) -> dict[str, float]:
    return {metric: float(np.mean(right)), f"{metric}_stderr": _standard_error(right)}


def _bytes(text: str) -> int:
    return len(text.encode())


def _standard_error(right: Sequence[bool]) -> float:
    """Of a mean, from the sample's own spread; of one item nothing is known."""
    return float(np.std(right, ddof=1) / math.sqrt(len(right))) if len(right) > 1 else 0.0
