"""Loss spikes: told by the recent losses, and kept with the documents of the step that made them.

A loss is a spike if it lies more than so many standard deviations above the mean of the last 100 steps. While a run
is young its loss falls fast, which makes the deviation large: a fall is never taken for a spike, and before 20 steps
nothing is. A spike takes part in what follows, so that a loss that stays higher (a new phase) is reported a few times
and then is the new normal.

What is remembered is a list of numbers that goes into every checkpoint: a resumed run reports what an undisturbed one
does. No torch.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FOLDER = "spikes"
WINDOW = 100
"""Steps whose losses are compared with."""
YOUNG = 20
"""Steps before which nothing is reported."""


@dataclass(frozen=True)
class Spike:
    """A loss far above those before it."""

    step: int
    """Counted from 1, as in events."""
    loss: float
    mean: float
    """Of the losses before it."""
    deviation: float
    loss_by_source: Mapping[str, float]


@dataclass
class LossWatch:
    """The losses of the last steps, those before a restart included: `recent` goes into every checkpoint."""

    limit: float
    """Standard deviations above the mean from which on a loss is a spike."""
    recent: list[float] = field(default_factory=list)

    def see(self, step: int, loss: float, loss_by_source: Mapping[str, float]) -> Spike | None:
        """Take in the loss of a step; what it is reported as, if it is a spike.

        Args:
            step: counted from 1.
            loss: mean loss of the step, a number.
            loss_by_source: of the sources that the step trained on.
        """
        spike = None
        if len(self.recent) >= YOUNG:
            mean = math.fsum(self.recent) / len(self.recent)
            deviation = math.sqrt(math.fsum((past - mean) ** 2 for past in self.recent) / len(self.recent))
            if deviation > 0 and loss > mean + self.limit * deviation:
                spike = Spike(step, loss, mean, deviation, dict(loss_by_source))
        self.recent = [*self.recent, loss][-WINDOW:]
        return spike


def keep_spike(run: Path, spike: Spike, samples: Iterable[Mapping[str, Any]]) -> Path:
    """Write `<run>/spikes/step_00000123.json`: the spike and the samples of its step, whole or not at all.

    A step may hold millions of tokens, so its samples are written one after the other and never held together.

    Args:
        run: run folder.
        spike: as reported.
        samples: of its step, each with where it comes from and its documents; JSON types only.
    """
    path = run / FOLDER / f"step_{spike.step:08d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w") as file:
        opening = json.dumps(asdict(spike), ensure_ascii=False)
        file.write(opening[:-1] + ', "samples": [')
        for number, sample in enumerate(samples):
            file.write(("," if number else "") + "\n" + json.dumps(sample, ensure_ascii=False))
        file.write("\n]}\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path
