"""What is recorded of every step: losses, data, speed, waiting, memory. Measured on the first rank.

Names with a slash are per source: `loss/real` is the loss on the source `real`. A figure that can't be known is left
out and never guessed: MFU needs the peak of this very GPU, which `gpu_peaks.yaml` lists.
"""

import resource
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import torch

from megatron_ext.config import RunConfig
from megatron_ext.plan.cost import training_flops
from megatron_ext.platform import has_gpu
from megatron_ext.training.peaks import peak_flops

Item = TypeVar("Item")


@dataclass(frozen=True)
class StepLoss:
    """The loss of a step over all ranks: mean nats per trained token, in all and per source that it trained on."""

    loss: float
    trained: int
    """Tokens with a label to be learnt."""
    by_source: Mapping[str, float]
    trained_by_source: Mapping[str, int]

    @classmethod
    def of(cls, sources: Iterable[str], sums: Sequence[Sequence[float]]) -> Self:
        """From (sum of losses, trained tokens) of each source, in the order of the sources."""
        total, trained = (sum(column) for column in zip(*sums, strict=True))
        pairs = {name: pair for name, pair in zip(sources, sums, strict=True) if pair[1]}
        return cls(
            loss=total / max(1.0, trained),
            trained=int(trained),
            by_source={name: loss / tokens for name, (loss, tokens) in pairs.items()},
            trained_by_source={name: int(tokens) for name, (_, tokens) in pairs.items()},
        )


@dataclass(frozen=True)
class Lap:
    """Where the time of a step went, in seconds."""

    seconds: float
    """From the end of the step before to its own end, without checkpoints and observers."""
    data: float
    """Of it, waiting for batches."""
    checkpoint: float
    """Besides it, standing still for the checkpoint before this step."""
    observers: float = 0.0
    """Besides it, standing still for those who looked at the model before this step."""


class StepClock:
    """Measures steps from one `lap` to the next; the first one from here."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._data = self._checkpoint = self._observers = 0.0

    def waiting(self, batches: Iterable[Item]) -> Iterator[Item]:
        """The same batches; the time that each lets us wait is noted."""
        iterator = iter(batches)
        while True:
            began = time.monotonic()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            finally:
                self._data += time.monotonic() - began
            yield batch

    @contextmanager
    def checkpoint(self) -> Iterator[None]:
        """While training stands still for a checkpoint."""
        began = time.monotonic()
        yield
        self._checkpoint += time.monotonic() - began

    @contextmanager
    def observers(self) -> Iterator[None]:
        """While training stands still for observers of the model."""
        began = time.monotonic()
        yield
        self._observers += time.monotonic() - began

    def lap(self) -> Lap:
        """The step ends here."""
        end = time.monotonic()
        still = self._checkpoint + self._observers
        lap = Lap(end - self._begin - still, self._data, self._checkpoint, self._observers)
        self._begin, self._data, self._checkpoint, self._observers = end, 0.0, 0.0, 0.0
        return lap


@dataclass
class Metrics:
    """The records of a run's steps. `trained` goes into every checkpoint."""

    config: RunConfig
    ranks: int
    gpu: str | None
    """Name of the GPUs; None on CPUs."""
    rows_per_epoch: Mapping[str, int]
    documents: Mapping[str, int]
    """Source -> documents (pairs, of a source of pairs) that it has."""
    trained: Mapping[str, int] = field(default_factory=dict)
    """Source -> its trained tokens so far, over the whole run."""

    def __post_init__(self) -> None:
        self._peak = peak_flops(self.gpu, self.config.precision)

    def record(
        self, step: int, loss: StepLoss, lap: Lap, *, lr: float, grad_norm: float, rows: Mapping[str, int], skipped: int
    ) -> dict[str, Any]:
        """What is recorded of one step that was taken.

        Args:
            step: counted from 1.
            loss: of the step.
            lap: its time.
            lr: its learning rate.
            grad_norm: of its gradient, before clipping.
            rows: source -> rows of it in the run up to the end of this step.
            skipped: steps left out so far.
        """
        before, after = (self.tokens_before(number) for number in (step - 1, step))
        self.trained = dict(self.trained) | {
            name: self.trained.get(name, 0) + tokens for name, tokens in loss.trained_by_source.items()
        }
        epochs = {name: rows[name] / self.rows_per_epoch[name] for name in rows}
        return {
            "step": step,
            "tokens": after,
            "loss": loss.loss,
            **{f"loss/{name}": value for name, value in loss.by_source.items()},
            "lr": lr,
            "grad_norm": grad_norm,
            "trained_tokens": loss.trained,
            **{f"trained/{name}": value for name, value in sorted(self.trained.items())},
            **{f"epochs/{name}": round(value, 6) for name, value in sorted(epochs.items())},
            # Windows cut documents where they like: what is counted is how many went by, parts added up.
            **{f"documents/{name}": round(value * self.documents[name]) for name, value in sorted(epochs.items())},
            "skipped_steps": skipped,
            **self._speed(after - before, lap),
            **peak_memory(),
        }

    def _speed(self, tokens: int, lap: Lap) -> dict[str, float]:
        speed = {
            "seconds": round(lap.seconds, 4),
            "data_seconds": round(lap.data, 4),
            "data_wait": round(lap.data / lap.seconds, 4),
            "checkpoint_seconds": round(lap.checkpoint, 4),
            "tokens_per_second": round(tokens / lap.seconds, 1),
        }
        if lap.observers:
            speed["probe_seconds"] = round(lap.observers, 4)
        if self.gpu is not None:
            speed["tokens_per_second_per_gpu"] = round(tokens / lap.seconds / self.ranks, 1)
        if self._peak is not None:
            flops = training_flops(self.config.model, tokens, self.config.batch.sequence_length)
            speed["mfu"] = flops / lap.seconds / (self.ranks * self._peak)
        return speed

    def tokens_before(self, step: int) -> int:
        """Tokens of the run up to the end of a step, counted from 1."""
        batch = self.config.batch
        return min(batch.first_sample(step), self.config.samples) * batch.sequence_length


def gpu_name() -> str | None:
    """Name of this rank's GPU, as the driver gives it; None without one."""
    return torch.cuda.get_device_name() if has_gpu() else None


def peak_memory() -> dict[str, int]:
    """Most bytes that this process has held so far: of its GPU, or of main memory without one."""
    if has_gpu():
        return {
            "memory_allocated": torch.cuda.max_memory_allocated(),
            "memory_reserved": torch.cuda.max_memory_reserved(),
        }
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return {"memory_resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
