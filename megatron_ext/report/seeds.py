"""The arms of an experiment with each of its seeds, and what they were measured by, item by item."""

from collections.abc import Mapping
from functools import cached_property
from statistics import fmean

import numpy as np

from megatron_ext.report.arms import Arm
from megatron_ext.report.paper import NO_QUESTIONS, ROWS, Kind
from megatron_ext.report.scores import HELDOUT, Score
from megatron_ext.report.uncertainty import Means, over_seeds, resampled

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
        """Arms have to be measured alike within a seed; seeds may each have a held-out text of their own."""
        each = [_compared(arms, name, kind) for arms in self.arms.values()]
        known = [means for means in each if means]
        return over_seeds(known, name=name) if len(known) == len(each) else None


def _compared(arms: Mapping[str, Arm], name: str, kind: Kind) -> Means | None:
    """The means of the arms of one seed."""
    found = [arms[arm].scores[name] for arm in ARMS if arm in arms and name in arms[arm].scores]
    if len(found) < len(ARMS) or len({repr(sorted(score.identity.items())) for score in found}) > 1:
        return None
    sizes = {len(score.values_I) for score in found}
    if len(sizes) > 1 or 0 in sizes:  # nothing is known of single items, or not in all arms
        value_A = np.array([score.value for score in found])
        return resampled((np.log(value_A) if kind == "perplexity" else value_A)[:, None], np.ones(1), name=name)
    return resampled(np.array([score.values_I for score in found]), found[0].weights_I, name=name)
