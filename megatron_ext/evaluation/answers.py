"""Tasks asked of a model in its layout: once after training, and in the loop every so many steps.

Of last words it is also asked whether the model would write them: with its logits made very sharp, the likeliest token
costs nothing and any other a lot, so that the loss says it, in any layout. That is a second pass, over these only.

All tasks pass together, sorted by length, shared out over data-parallel ranks. The live model is left as it was: a run
that is asked trains to the same bits as one that is not.
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.text.tokenizer import Tokenizer
from megatron_ext import platform
from megatron_ext.config import EvaluationConfig, RunConfig
from megatron_ext.evaluation.inputs import read_tasks, tokenizer_of
from megatron_ext.evaluation.logits import changed_logits
from megatron_ext.evaluation.scores import Found, scored
from megatron_ext.evaluation.tasks import Task, spans_of
from megatron_ext.knowledge.probes import Measure
from megatron_ext.knowledge.spans import Span
from megatron_ext.training.loop import Observe, Trainer

BOARD = "evaluation"
DRAWN = ("acc", "acc_norm", "answer_bits_per_byte", "loss", "target_perplexity", "bits_per_byte")
"""What the boards and the events of a run are told of each task, as far as its kind has it."""

EQUAL = -0.5
"""Nats. Sharpened, two likeliest tokens cost log 2 = 0.7 each, a less likely one far more, the only likeliest none."""
SHARPER = 2.0**24
"""Factor of logits; a power of two, so that none that differ become equal."""


def observe(config: RunConfig) -> list[Observe]:
    """What a run hands to its training loop: an evaluation on tasks, if it asks for one."""
    return [] if config.evaluation is None else [partial(InLoop, config.evaluation)]


class Answers:
    """Tasks made ready to be asked again and again, on this rank."""

    def __init__(self, config: RunConfig, tasks: Sequence[Task], tokenizer: Tokenizer):
        self.tasks = list(tasks)
        parts = [spans_of(task, tokenizer, most=config.batch.sequence_length) for task in tasks]
        spans = [found for found, _ in parts]
        self.cut = [cut for _, cut in parts]
        """Of each task, what lost its beginning: it is longer than a row."""
        self._all = Asked(config, spans)
        self._words = Asked(config, [each if task.is_of_words else [] for task, each in zip(tasks, spans, strict=True)])

    def __call__(self, model: list[Any]) -> list[Found]:
        """What the model makes of each task; the same on every rank."""
        logprobs = self._all(model)
        with changed_logits(model, lambda logits: logits * SHARPER):
            sharpened = self._words(model)
        return [
            Found(logprobs_C, tokens_C, sharp_C > EQUAL if task.is_of_words else None)
            for task, tokens_C, logprobs_C, sharp_C in zip(
                self.tasks, self._all.tokens, logprobs, sharpened, strict=True
            )
        ]

    def scores(self, found: Sequence[Found]) -> dict[str, dict[str, Any]]:
        """Task -> its numbers, with "cut" where something lost its beginning."""
        return {
            task.name: scored(task, each) | ({"cut": cut} if cut else {})
            for task, each, cut in zip(self.tasks, found, self.cut, strict=True)
        }


class Asked:
    """The log-probabilities of some groups of spans, asked in one go."""

    def __init__(self, config: RunConfig, groups: Sequence[Sequence[Span]]):
        self.tokens = [np.array([span.target for span in group], dtype=np.int64) for group in groups]
        """Of each group, those of its targets."""
        spans = [span for group in groups for span in group]
        self._measure = Measure(config, spans) if spans else None

    def __call__(self, model: list[Any]) -> list[np.ndarray]:
        """Of each group, the log-probability of every target, in nats."""
        tokens = np.concatenate(self.tokens)
        per_token = self._measure(model).astype(np.float64) if self._measure else np.zeros(0)
        return np.split(per_token * tokens, np.cumsum([len(group) for group in self.tokens])[:-1])


class InLoop:
    """An observer of training that scores the live model and tells the events and the boards."""

    files: Sequence[Path] = ()

    def __init__(self, evaluation: EvaluationConfig, trainer: Trainer, first: int):
        config = trainer.config
        self._trainer, self._every = trainer, evaluation.every
        tasks = read_tasks(evaluation.tasks, most_items=evaluation.most_items)
        self._answers = Answers(config, tasks, tokenizer_of(config, where="tokenizer"))

    def look(self, step: int) -> None:
        """Ask at every n-th step, and at the end."""
        if step % self._every and step != self._trainer.config.steps:
            return
        began = time.monotonic()
        scores = self._answers.scores(self._answers(self._trainer.model))
        if not platform.is_first_rank():
            return
        drawn = {
            f"{task}/{metric}": found[metric] for task, found in scores.items() for metric in DRAWN if metric in found
        }
        self._trainer.tracker.measured(
            "evaluation", board=BOARD, step=step, tokens=self._trainer.metrics.tokens_before(step), **drawn,
            seconds=round(time.monotonic() - began, 4),
        )  # fmt: skip

    def sync(self) -> None:
        """The tracker is synced by the loop, and there is nothing else."""

    def close(self) -> None:
        """Nothing is open."""
