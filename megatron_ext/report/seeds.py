"""The arms of an experiment with each of its seeds, and what they were measured by, item by item."""

from collections.abc import Mapping
from functools import cached_property
from statistics import fmean

import numpy as np

from megatron_ext.report.arms import Arm
from megatron_ext.report.paper import NO_QUESTIONS, ROWS, Kind
from megatron_ext.report.scores import HELDOUT, Score
from megatron_ext.report.uncertainty import Means, resampled

ARMS = ("baseline", "sbp", "oracle")
BASELINE, SBP, ORACLE = range(3)
"""Their places among means."""


class Seeds:
    """Figures that can be compared: of all arms, by the same items."""

    def __init__(self, arms: Mapping[str, Mapping[str, Arm]]):
        """`arms`: seed -> arm -> what is known of it."""
        self.arms = arms

    @property
    def first(self) -> Mapping[str, Arm]:
        """The arms of the first seed."""
        return next(iter(self.arms.values()))

    def loss(self, name: str) -> float | None:
        """Held-out loss of an arm, the mean over its seeds; None if one is not known."""
        losses = [arms[name].numbers["heldout_loss"] if name in arms else None for arms in self.arms.values()]
        return None if None in losses else fmean(losses)

    @cached_property
    def scores(self) -> dict[str, Score]:
        """Everything that any arm was measured by -> one of its figures; held-out text first, then as in the paper."""
        found = {
            name: score for arms in self.arms.values() for arm in arms.values() for name, score in arm.scores.items()
        }
        order = [HELDOUT, *ROWS]
        names = sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))
        return {name: found[name] for name in names}

    @cached_property
    def means(self) -> dict[str, Means]:
        """What all arms were measured by in the same way -> their means; of perplexities, of the losses."""
        return {name: means for name, score in self.scores.items() if (means := self._means(name, score.kind))}

    def accuracies(self) -> dict[str, Means]:
        """Those of them that are accuracies of answers to questions."""
        return {
            name: means for name, means in self.means.items()
            if self.scores[name].kind == "accuracy" and name not in NO_QUESTIONS
        }  # fmt: skip

    def _means(self, name: str, kind: Kind) -> Means | None:
        found = [[arms[arm].scores.get(name) if arm in arms else None for arms in self.arms.values()] for arm in ARMS]
        known = [[score for score in of_arm if score] for of_arm in found]
        flat = [score for of_arm in known for score in of_arm]
        if len(flat) < len(ARMS) * len(self.arms) or len({repr(sorted(score.identity.items())) for score in flat}) > 1:
            return None
        sizes = {len(score.values_I) for score in flat}
        if len(sizes) > 1 or 0 in sizes:  # nothing is known of single items, or not in all arms
            values_AS = np.array([[score.value for score in of_arm] for of_arm in known])
            values_AS = np.log(values_AS) if kind == "perplexity" else values_AS
            return resampled(values_AS[:, :, None], np.ones(1), name=name)
        values_ASI = np.array([[score.values_I for score in of_arm] for of_arm in known])
        return resampled(values_ASI, flat[0].weights_I, name=name)
