"""What the model of a run knows, measured between its updates: log-probabilities of the targets of all probes.

The live model is asked, in its layout, by Megatron-core's own schedule. It is left as it was: no gradient is made, no
random number drawn, and a run that is asked trains to the same bits as one that is not.

Data-parallel ranks share the probes. What all of them found is added up on every rank, and the first one keeps the
record.

Shape suffixes: P probes, R rows of a pass, S positions of a row.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from megatron.core import parallel_state
from torch import Tensor

from megatron_ext import platform
from megatron_ext.config import KnowledgeConfig, LayoutConfig, RunConfig
from megatron_ext.data.batches import stack
from megatron_ext.knowledge.asked import questions_of
from megatron_ext.knowledge.record import Asked, RecordWriter
from megatron_ext.knowledge.spans import MOST_TOKENS, WIDTH_UNIT, Span, passes, rows_of
from megatron_ext.training.loop import Observe, Trainer
from megatron_ext.training.step import forward_backward

NOT_SHOWN = "not_shown"
"""In place of a group, on the boards: passages that are never shown."""


def observe(config: RunConfig) -> list[Observe]:
    """What a run hands to its training loop: a measurement of its knowledge, if it asks for one."""
    return [] if config.knowledge is None else [partial(Probes, config.knowledge)]


class Measure:
    """Spans made ready to be asked again and again, on this rank."""

    def __init__(self, config: RunConfig, found: Sequence[Span], *, most_rows: int | None = None):
        """Put the spans into passes.

        Args:
            config: the run, whose passes in training say how many tokens a pass may have.
            found: all spans.
            most_rows: of a pass, whatever its tokens; None: the tokens decide.
        """
        batch, place = config.batch, platform.device()
        mine = list(
            passes(
                found,
                rank=parallel_state.get_data_parallel_rank(),
                ranks=parallel_state.get_data_parallel_world_size(),
                most_tokens=min(MOST_TOKENS, batch.micro_batch * batch.sequence_length),
                most_rows=most_rows,
                unit=_width_unit(config.layout),
            )
        )
        self._config = config
        self._batches = [stack(list(rows_of(one, found)), [0] * one.rows) for one in mine]
        self._places = [torch.tensor(one.probes, dtype=torch.long, device=place) for one in mine]
        self._tokens_P = torch.tensor([span.target for span in found], device=place)

    def __call__(self, model: list[Any]) -> np.ndarray:
        """Mean log-probability per token of each target, float32 of shape (P,), the same on every rank."""
        sums_P = torch.zeros(len(self._tokens_P), dtype=torch.float64, device=platform.device())
        waiting = iter(self._places)

        def watch(losses_RS: Tensor, _loss_mask_RS: Tensor) -> None:
            places = next(waiting, None)  # an interleaved pipeline is filled up with passes that ask nothing
            if places is not None:
                sums_P[places] += losses_RS.double().sum(1)[: len(places)]

        with torch.no_grad(), _asked(model):
            forward_backward(model, self._batches, self._config, forward_only=True, watch=watch)
        # A probe was seen by one data-parallel rank; context-parallel ranks saw a part of its target each.
        torch.distributed.all_reduce(sums_P)
        return (-sums_P / self._tokens_P).float().cpu().numpy()


class Probes:
    """An observer of training that keeps `<run>/knowledge/` and draws means on the boards."""

    def __init__(self, knowledge: KnowledgeConfig, trainer: Trainer, first: int):
        config, run = trainer.config, trainer.tracker.folder
        questions = questions_of(config, knowledge, run)
        self._trainer = trainer
        self._every = knowledge.probe.every
        self._also = {config.steps}.union(*knowledge.shown.values())
        self._measure = Measure(config, questions.spans, most_rows=knowledge.probe.batch)
        self._curves = _curves(questions.asked)
        self._record = RecordWriter(run, questions.asked, first=first) if platform.is_first_rank() else None
        self.files = self._record.files if self._record else ()

    def look(self, step: int) -> None:
        """Measure at every n-th step, wherever something is shown next, and at the end."""
        if step % self._every and step not in self._also:
            return
        began = time.monotonic()
        values_P = self._measure(self._trainer.model)
        if self._record is None:
            return
        self._record.add(step, values_P)
        self._trainer.tracker.measured(
            "probes", board="knowledge", step=step, tokens=self._trainer.metrics.tokens_before(step),
            **{name: float(values_P[numbers].mean()) for name, numbers in self._curves.items()},
            seconds=round(time.monotonic() - began, 4),
        )  # fmt: skip

    def sync(self) -> None:
        if self._record:
            self._record.sync()

    def close(self) -> None:
        if self._record:
            self._record.close()


def _curves(asked: Asked) -> dict[str, np.ndarray]:
    """<group>/<kind> -> numbers of its probes."""
    names = np.array([f"{probe['group'] or NOT_SHOWN}/{probe['kind']}" for probe in asked.probes])
    return {str(name): np.flatnonzero(names == name) for name in np.unique(names)}


def _width_unit(layout: LayoutConfig) -> int:
    """Rows are cut over tensor ranks, under sequence parallelism, and into two stretches for each context rank."""
    return math.lcm(WIDTH_UNIT, layout.tensor * 2 * layout.context)


@contextmanager
def _asked(model: list[Any]) -> Iterator[None]:
    """Chunks that are evaluated with rows of any width, and afterwards train as before."""
    core, training = model[0].config, [chunk.training for chunk in model]
    widths_vary, core.variable_seq_lengths = core.variable_seq_lengths, True  # between the stages of a pipeline
    for chunk in model:
        chunk.eval()
    try:
        yield
    finally:
        core.variable_seq_lengths = widths_vary
        for chunk, was in zip(model, training, strict=True):
            chunk.train(was)
