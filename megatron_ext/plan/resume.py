"""Whether a run that has begun may go on under another plan: its past has to be the same, its future may differ.

A larger budget, a new phase, a new stage of the ramp, or other facts from here on leave the past as it was. Plans are
compared as `SamplePlan.describe` gives them, so that one written to a file months ago can be one of the two.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Stage = Sequence[int]
"""First step, first sample, global batch."""


def difference(planned: Mapping[str, Any], recorded: Mapping[str, Any], *, samples: int, step: int) -> str | None:
    """What differs in the past of two plans, as a sentence; None where nothing does.

    Args:
        planned: the plan to go on with.
        recorded: the plan that the run was trained with so far.
        samples: samples that were trained.
        step: steps that were trained.
    """
    if samples == 0 and step == 0:
        return None
    for key, name in (("order", "version of the order"), ("seed", "seed"), ("sequence_length", "sequence length")):
        if planned[key] != recorded.get(key):
            return f"The {name} was {recorded.get(key)} and is now {planned[key]}."
    return (
        _mixtures(planned["phases"], recorded["phases"], samples)
        or _sources(planned, recorded, samples)
        or _boundaries(planned, recorded, step)
        or _showings(planned.get("knowledge", {}), recorded.get("knowledge", {}), step)
    )


def trained_samples(recorded: Mapping[str, Any], *, step: int) -> int:
    """Samples of the first `step` steps of a plan, of which the last may be a partial one."""
    return min(_first_sample(recorded["stages"], step), recorded["phases"][-1]["end"])


def _mixtures(planned: list[dict[str, Any]], recorded: list[dict[str, Any]], samples: int) -> str | None:
    if planned[-1]["end"] < samples:
        return f"The run was trained on {samples} samples and now ends after {planned[-1]['end']}."
    now, then = _until(planned, samples), _until(recorded, samples)
    for number, (new, old) in enumerate(zip(now, then, strict=False), start=1):
        if new["ratio"] != old["ratio"]:
            return f"The mixture of phase {number} was {_shown(old['ratio'])} and is now {_shown(new['ratio'])}."
        if new["end"] != old["end"]:
            return f"Phase {number} ended after sample {old['end']} and now ends after sample {new['end']}."
    return None


def _sources(planned: Mapping[str, Any], recorded: Mapping[str, Any], samples: int) -> str | None:
    for name in sorted({name for phase in _until(recorded["phases"], samples) for name in phase["ratio"]}):
        new, old = planned["sources"][name], recorded["sources"][name]
        for key in (*new, *(key for key in old if key not in new)):
            if new.get(key) != old.get(key):
                return f"The {key} of source {name} was {old.get(key)} and is now {new.get(key)}."
    return None


def _boundaries(planned: Mapping[str, Any], recorded: Mapping[str, Any], step: int) -> str | None:
    """Between the steps at which a stage of either begins both are straight lines: there they need no looking at."""
    bends = {stage[0] for plan in (planned, recorded) for stage in plan["stages"]}
    for bend in sorted({bend for bend in bends if bend < step} | {step}):
        new, old = (min(_first_sample(x["stages"], bend), x["phases"][-1]["end"]) for x in (planned, recorded))
        if new != old:
            return f"Step {bend} ended after sample {old} and now ends after sample {new}."
    return None


def _showings(planned: Mapping[str, str], recorded: Mapping[str, str], step: int) -> str | None:
    """Passages injected before a step."""
    for past in sorted(number for number in {int(key) for key in (*planned, *recorded)} if number < step):
        new, old = (passages.get(str(past), "no passages") for passages in (planned, recorded))
        if new != old:
            return f"Step {past} showed {old} and would now have shown {new}."
    return None


def _until(phases: list[dict[str, Any]], samples: int) -> list[dict[str, Any]]:
    """The phases that begin before a sample, the last of them cut there."""
    begun, first = [], 0
    for phase in phases:
        if first >= samples:
            break
        begun.append({**phase, "end": min(phase["end"], samples)})
        first = phase["end"]
    return begun


def _first_sample(stages: Sequence[Stage], step: int) -> int:
    first, sample, size = next(stage for stage in reversed(stages) if stage[0] <= step)
    return sample + (step - first) * size


def _shown(ratio: Mapping[str, int]) -> str:
    return " : ".join(f"{count} {name}" for name, count in ratio.items())
