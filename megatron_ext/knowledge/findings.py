"""What the paper found, held against runs of ours: agrees, disagrees or not shown, and the figures that rests on.

Each finding says that one figure is larger than another. It is looked at in every place where both were measured (each
group, each kind of probe), as a difference that is positive where the paper is right. The rule:

    agrees      the 95% interval of the mean difference lies above 0, and the interval of no place lies below
    disagrees   the interval of the mean difference lies below 0, and that of no place above
    not shown   anything else, or nothing to compare

Intervals say how sure it is given these runs: which passages were chosen. How much another seed of a run would change
they don't know.

Source of the findings: Chang et al. 2024, arXiv:2406.11813.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from megatron_ext.knowledge.measures import GroupMeasures, KindMeasures, Measures
from megatron_ext.knowledge.resampling import NOTHING, Estimate

AGREES, DISAGREES, NOT_SHOWN = "agrees", "disagrees", "not shown"

MUCH = 2.0
"""How many times smaller is "much smaller"."""


@dataclass(frozen=True)
class MeasuredRun:
    """A run as findings see it."""

    measures: Measures
    parameters: int | None
    """Of its model; None: not known."""


@dataclass(frozen=True)
class Place:
    """One comparison."""

    name: str
    larger: float | None
    """The figure that the paper found larger."""
    smaller: float | None
    difference: Estimate
    """Positive where the paper is right."""

    @property
    def verdict(self) -> str:
        return _side(self.difference)


@dataclass(frozen=True)
class Finding:
    """What the paper says, in what runs it was looked for, and the answer."""

    says: str
    figure: str
    """What `larger` and `smaller` of its places are, with the unit."""
    where: str
    """The run, or the runs that are compared."""
    places: tuple[Place, ...]
    nothing: str
    """Why there is nothing to compare, if so."""

    @property
    def mean(self) -> Estimate:
        """The mean difference over the places where it is defined."""
        defined = [place.difference for place in self.places if place.difference.value is not None]
        if not defined:
            return NOTHING
        value = sum(each.value for each in defined) / len(defined)
        if any(each.draws_D is None for each in defined):
            return Estimate(value)
        return Estimate(value, np.mean([each.draws_D for each in defined], axis=0))

    @property
    def verdict(self) -> str:
        sides = {place.verdict for place in self.places}
        answer = _side(self.mean)
        contrary = {AGREES: DISAGREES, DISAGREES: AGREES}.get(answer)
        return NOT_SHOWN if contrary in sides else answer

    @property
    def why(self) -> str:
        """What the verdict rests on, in words."""
        if not self.places:
            return self.nothing
        if self.mean.value is None:
            return "in no place both figures are known yet"
        if self.mean.interval is None:
            return "how sure it is is not known: one passage, or a line that does not fall in some of the draws"
        agree, disagree = (sum(place.verdict == side for place in self.places) for side in (AGREES, DISAGREES))
        return f"{agree} of {len(self.places)} places agree" + (f", {disagree} disagree" if disagree else "")


def findings(runs: Mapping[str, MeasuredRun]) -> list[Finding]:
    """Those within each run, side by side, then those between runs that differ in the batch or in the model alone."""
    within = zip(*(_within(name, run.measures) for name, run in runs.items()), strict=True)
    pairs = [pair for pair in permutations(runs.items(), 2) if None not in (run.parameters for _, run in pair)]
    by_batch = [pair for pair in pairs if _same_model(*pair) and _batch(pair[0]) < _batch(pair[1])]
    by_model = [pair for pair in pairs if _batch(pair[0]) == _batch(pair[1]) and _size(pair[0]) > _size(pair[1])]
    return [finding for each in within for finding in each] + _of_batches(by_batch) + _of_models(by_model)


def _side(difference: Estimate) -> str:
    if difference.interval is None:
        return NOT_SHOWN
    low, high = difference.interval
    return AGREES if low > 0 else DISAGREES if high < 0 else NOT_SHOWN


def _within(run: str, measures: Measures) -> Iterator[Finding]:
    groups = measures.groups
    kinds = "The facts file has no probes of both kinds."
    yield Finding("Memorisation gains more than semantic generalisation", "effectivity, nats per token", run,
                  tuple(_between_kinds(groups, "memorisation", "semantic")), kinds)  # fmt: skip
    yield Finding("Semantic generalisation gains more than compositional", "effectivity, nats per token", run,
                  tuple(_between_kinds(groups, "semantic", "compositional")), kinds)  # fmt: skip
    both = "The run does not show some passages duplicated and others paraphrased."
    yield Finding("Duplication gains more at each showing than paraphrase", "effectivity, nats per token", run,
                  tuple(_between_groups(groups, lambda kind: kind.effectivity)), both)  # fmt: skip
    yield Finding("Duplication is forgotten faster than paraphrase", "decay constant", run,
                  tuple(_between_groups(groups, lambda kind: kind.decay)), both)  # fmt: skip
    yield Finding("The first showing gains most", "effectivity of the first, and the largest of a later one", run,
                  tuple(_first_showings(groups)), "No passage is shown more than once.")  # fmt: skip
    yield Finding("What was learnt is forgotten with the logarithm of time", "decay constant", run,
                  tuple(_falling(groups)), "The run has not been followed past its last showings.")  # fmt: skip


def _between_kinds(groups: Mapping[str, GroupMeasures], larger: str, smaller: str) -> Iterator[Place]:
    for name, group in groups.items():
        if {larger, smaller} <= group.kinds.keys():
            yield _place(name, group.kinds[larger].effectivity, group.kinds[smaller].effectivity)


def _between_groups(
    groups: Mapping[str, GroupMeasures], figure: Callable[[KindMeasures], Estimate]
) -> Iterator[Place]:  # fmt: skip
    if {"duplicated", "paraphrased"} <= groups.keys():
        duplicated, paraphrased = groups["duplicated"].kinds, groups["paraphrased"].kinds
        for kind in (kind for kind in duplicated if kind in paraphrased):
            yield _place(kind, figure(duplicated[kind]), figure(paraphrased[kind]))


def _first_showings(groups: Mapping[str, GroupMeasures]) -> Iterator[Place]:
    for name, group in groups.items():
        for kind, measured in group.kinds.items():
            first, *later = measured.by_showing
            if later:
                yield _place(f"{name}, {kind}", first, _largest(later))


def _largest(figures: list[Estimate]) -> Estimate:
    known = [each for each in figures if each.value is not None]
    if not known:
        return NOTHING
    drawn = [each.draws_D for each in known if each.draws_D is not None]
    return Estimate(max(each.value for each in known), np.max(drawn, axis=0) if len(drawn) == len(known) else None)


def _falling(groups: Mapping[str, GroupMeasures]) -> Iterator[Place]:
    for name, group in groups.items():
        for kind, measured in group.kinds.items():
            yield Place(f"{name}, {kind}", measured.decay.value, 0.0, measured.decay)


NamedRun = tuple[str, MeasuredRun]
NamedPair = tuple[NamedRun, NamedRun]


def _batch(run: NamedRun) -> int:
    return run[1].measures.tokens_per_step


def _size(run: NamedRun) -> int:
    return run[1].parameters or 0


def _same_model(one: NamedRun, other: NamedRun) -> bool:
    return _size(one) == _size(other)


def _of_batches(pairs: list[NamedPair]) -> list[Finding]:
    """`pairs`: the run with the smaller batch, then the other."""
    nothing = "No two of these runs have one model and different batches."
    return [
        _compared("A smaller batch gains more at each showing", "effectivity, nats per token", pairs,
                  lambda kind: kind.effectivity, nothing),
        _compared("With a smaller batch facts are forgotten faster", "decay constant", pairs,
                  lambda kind: kind.decay, nothing),
        _thresholds(pairs, nothing),
    ]  # fmt: skip


def _of_models(pairs: list[NamedPair]) -> list[Finding]:
    """`pairs`: the run with the larger model, then the other."""
    nothing = "No two of these runs have one batch and models of different sizes."
    return [_compared("A larger model gains more at each showing", "effectivity, nats per token", pairs,
                      lambda kind: kind.effectivity, nothing)]  # fmt: skip


def _compared(
    says: str, figure: str, pairs: list[NamedPair], what: Callable[[KindMeasures], Estimate], nothing: str
) -> Finding:
    places = [_place(name, what(one), what(other)) for name, one, other, _ in _common(pairs)]
    return Finding(says, figure, _names(pairs), tuple(places), nothing)


def _thresholds(pairs: list[NamedPair], nothing: str) -> Finding:
    """In tokens, as logarithms: a difference above 0 is a threshold less than 1 / MUCH of the other."""
    places = []
    for name, small, large, (first, second) in _common(pairs):
        smaller = _shifted(small.log10_threshold, math.log10(_batch(first)))
        larger = _shifted(large.log10_threshold, math.log10(_batch(second)))
        places.append(Place(name, larger.value, smaller.value, _shifted(larger.minus(smaller), -math.log10(MUCH))))
    says = f"With a smaller batch the learnability threshold is much smaller (below 1/{MUCH:g})"
    figure = f"learnability threshold, log10 tokens; the difference beyond a factor of {MUCH:g}"
    return Finding(says, figure, _names(pairs), tuple(places), nothing)


def _shifted(figure: Estimate, by: float) -> Estimate:
    if figure.value is None:
        return figure
    return Estimate(figure.value + by, None if figure.draws_D is None else figure.draws_D + by)


def _common(pairs: list[NamedPair]) -> Iterator[tuple[str, KindMeasures, KindMeasures, NamedPair]]:
    for first, second in pairs:
        of = f"{_names([(first, second)])}: " if len(pairs) > 1 else ""
        for group in (name for name in first[1].measures.groups if name in second[1].measures.groups):
            one, other = (run.measures.groups[group].kinds for _, run in (first, second))
            for kind in (kind for kind in one if kind in other):
                yield f"{of}{group}, {kind}", one[kind], other[kind], (first, second)


def _names(pairs: list[NamedPair]) -> str:
    return "; ".join(f"{first} and {second}" for (first, _), (second, _) in pairs) or "no runs"


def _place(name: str, larger: Estimate, smaller: Estimate) -> Place:
    return Place(name, larger.value, smaller.value, larger.minus(smaller))
